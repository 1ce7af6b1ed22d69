# SPDX-License-Identifier: Apache-2.0
"""The real graph with a relay in the middle that can change or drop any message."""

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VIEWS = ("wrist", "exterior_1", "exterior_2")
ROWS = 12  # of a chunk that the commander plays alone


class Relay:
    """Passes messages on; `change` maps a topic to a function that changes them (None: drops)."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import Bool, String
        from std_srvs.srv import SetBool, Trigger

        from cosmos3_ros.ros import topics

        self.node = node
        self.change: dict[str, Callable[[Any], Any]] = {}
        self.heard: list[Any] = []  # reports of the commander
        self.speed = 1.0  # of the set point, rad/s
        self.points: list[list[float]] = []  # set points: stamp, s, and the arm's joints
        self.stated = 0.0  # when the last joint state was passed on
        for view in VIEWS:
            self.between(Image, f"sim/{view}", f"camera/{view}/image_raw")
        self.between(JointState, "sim/joint_states", "joint_states")
        self.between(topics.ACTION_CHUNK.type, "policy/chunk", topics.ACTION_CHUNK.name)
        self.to_arm = self.between(topics.TRAJECTORY.type, topics.TRAJECTORY.name, "sim/trajectory")
        for topic, keep in (
            (topics.COMMANDER_STATUS, self.heard.append),
            (topics.COMMAND, self.on_command),
        ):
            self.node.create_subscription(topic.type, topic.name, keep, topic.qos)
        self.words = self.node.create_publisher(String, "cosmos3/instruction", 5)
        self.button = self.node.create_publisher(Bool, "cosmos3/stop", 5)
        self.services = {
            name: self.node.create_client(kind, f"commander/{name}")
            for name, kind in (("arm", SetBool), ("stop", Trigger))
        }

    def between(self, kind: Any, source: str, target: str) -> Any:
        publisher = self.node.create_publisher(kind, target, 5)

        def forward(message: Any) -> None:
            changed = self.change.get(target, lambda m: m)(message)
            if changed is not None:
                publisher.publish(changed)
            if target == "joint_states" and changed is not None:
                self.stated = time.time()

        return self.node.create_subscription(kind, source, forward, 5)

    def on_command(self, message: Any) -> None:
        stamp = message.header.stamp
        self.speed = float(np.abs(message.velocity).max())
        self.points.append([stamp.sec + stamp.nanosec * 1e-9, *message.position[:7]])

    @property
    def status(self) -> Any:
        return self.heard[-1] if self.heard else None

    def say(self, text: str) -> None:
        """An instruction for the policy, which may have begun only now."""
        from std_msgs.msg import String

        end = time.monotonic() + 30
        while not self.words.get_subscription_count():
            assert time.monotonic() < end, "nobody listens to instructions"
            time.sleep(0.02)
        self.words.publish(String(data=text))

    def call(self, name: str, **fields: Any) -> Any:
        client, done = self.services[name], threading.Event()
        assert client.wait_for_service(30)
        future = client.call_async(client.srv_type.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(30)
        return future.result()


@dataclasses.dataclass
class Graph:
    """The relay and the processes."""

    relay: Relay
    sim: Any
    commander: Any
    policy: Any
    begin_policy: Callable[[], Any]
    views: tuple[str, ...] = VIEWS
    rows: int = ROWS

    def printed(self) -> tuple[int, int]:
        """How much commander and policy have printed until now; for `output`."""
        return len(self.commander.output), len(self.policy.output)

    def output(self, since: tuple[int, int] = (0, 0)) -> str:
        """What they printed since then."""
        return self.commander.output[since[0] :] + self.policy.output[since[1] :]


@pytest.fixture
def graph(request: pytest.FixtureRequest, start: Any, watcher: Any) -> Graph:
    """Everything started. As a parameter: other parameters of the commander."""
    from cosmos3_ros.robot.robot_file import find_robot_file

    robot = ("--ros-args", "--params-file", find_robot_file("droid_sim"))
    small = (
        "-p",
        "image_height:=90",
        "-p",
        "image_width:=160",
        "-r",
        "joint_states:=sim/joint_states",
    )
    views = [word for view in VIEWS for word in ("-r", f"camera/{view}/image_raw:=sim/{view}")]
    arm = ("-r", "arm_controller/joint_trajectory:=sim/trajectory")
    quick = (
        "-p",
        "num_steps:=1",
        "-p",
        "guidance:=1.0",
        "-p",
        "instruction:=go",
        "-r",
        "cosmos3/action_chunk:=policy/chunk",
    )

    def policy() -> Any:
        return start(sys.executable, Path(__file__).parent / "policy.py", *robot, *quick)

    rules = getattr(request, "param", {"watchdog_rows": ROWS})
    sim, commander = (
        start("sim", *robot, *small, *views, *arm),
        start(
            "commander",
            *robot,
            *(word for name, value in rules.items() for word in ("-p", f"{name}:={value}")),
        ),
    )
    return Graph(Relay(watcher), sim, commander, policy(), policy)
