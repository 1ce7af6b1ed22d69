# SPDX-License-Identifier: Apache-2.0
"""Policy and commander as nodes over DDS: what goes in, what comes out, when nothing may."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import (
    NS,
    ActionChunk,
    Future,
    Observation,
    Prediction,
    Surprise,
)

DROID_SIM = EMBODIMENTS["droid_sim"]

pytestmark = pytest.mark.ros

JOINTS = [*(f"panda_joint{k}" for k in range(1, 8)), "finger_joint"]
HOME = [0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0]
POLICY = {
    "joints": JOINTS,
    "gripper_joint": "finger_joint",
    "gripper_closed": 0.8,
    "autostart": False,
}
COMMANDER = {
    "joints": JOINTS[:7],
    "gripper_joint": "finger_joint",
    "gripper_closed": 0.8,
    "lower": [-2.9] * 7,
    "upper": [3.8] * 7,
    "velocity": [2.0] * 7,
    "acceleration": [8.0] * 7,
    "jerk": [200.0] * 7,
    # the robot below sends 15 a second, on a machine that is busy with other tests
    "max_state_age": 1.0,
    "autostart": False,
}


class Drift:
    """A policy that moves every joint by 0.1 rad over its chunk and remembers what it was shown."""

    embodiment = DROID_SIM

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.gate, self.may_imagine = threading.Event(), threading.Event()
        self.gate.set()
        self.may_imagine.set()
        self.imagines = threading.Event()
        self.asked: list[tuple[Observation, ActionChunk]] = []

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        self.gate.wait(20)
        if observation.stamp:  # not the warm-up
            self.seen.append(observation)
        rows = DROID_SIM.horizon
        values = observation.state + np.linspace(0, 0.1, rows, dtype=np.float32)[:, None]
        chunk = ActionChunk(
            values, DROID_SIM.action_names, observation.stamp, DROID_SIM.step, DROID_SIM.discrete
        )
        return Prediction(chunk, {"network": 0.01}, observation.stamp)

    def decode(self, prediction: Prediction) -> Future:
        return Future(np.zeros((3, 32, 32, 3), np.uint8), prediction.latents, 4 * DROID_SIM.step)

    def imagine(self, observation: Observation, candidate: ActionChunk) -> Prediction:
        """Takes the time that it is let, and remembers what it was asked."""
        if observation.stamp:  # not the warm-up
            self.asked.append((observation, candidate))
        self.imagines.set()
        assert self.may_imagine.wait(20)
        return Prediction(candidate, {}, observation.stamp)

    def reset(self) -> None: ...


class Robot:
    """A node in place of robot and person: publishes sensors at 15 Hz, remembers messages."""

    def __init__(self) -> None:
        import rclpy
        from sensor_msgs.msg import Image, JointState
        from std_msgs.msg import String
        from std_srvs.srv import SetBool, Trigger

        from cosmos3_ros.robot.images import fill
        from cosmos3_ros.ros import topics

        self.node = rclpy.create_node("robot")
        self._fill, self._image, self._state = fill, Image, JointState
        self._cameras = {
            v: self.node.create_publisher(Image, f"camera/{v}/image_raw", 5)
            for v in DROID_SIM.views
        }
        self._joints = self.node.create_publisher(JointState, "joint_states", 5)
        self.instruct = self.node.create_publisher(String, "cosmos3/instruction", 5)
        self.running = {*DROID_SIM.views, "joints"}
        self.order, self.positions = list(JOINTS), list(HOME)
        self.stamps: list[int] = []
        self.chunks: list[Any] = []
        self.futures: list[Any] = []
        self.trajectories: list[Any] = []
        self.grippers: list[Any] = []
        self.status: Any = None
        self.follows = False  # its set points
        for topic, keep in (
            (topics.COMMAND, self.on_command),
            (topics.ACTION_CHUNK, self.chunks.append),
            (topics.TRAJECTORY, self.trajectories.append),
            (topics.GRIPPER, self.grippers.append),
            (topics.COMMANDER_STATUS, lambda message: setattr(self, "status", message)),
        ):
            self.node.create_subscription(topic.type, topic.name, keep, topic.qos)
        self.arm = self.node.create_client(SetBool, "commander/arm")
        self.stop = self.node.create_client(Trigger, "commander/stop")
        self.pixels = np.zeros((90, 160, 3), np.uint8)
        self.node.create_timer(1 / 15, self.tick)

    def tick(self) -> None:
        from cosmos3_ros.ros.messages import header

        now = self.node.get_clock().now().nanoseconds
        self.stamps.append(now)
        known = dict(zip(JOINTS, self.positions, strict=True))
        if "joints" in self.running:
            positions = [known[name] for name in self.order]
            self._joints.publish(
                self._state(header=header(now), name=self.order, position=positions)
            )
        for view, publisher in self._cameras.items():
            if view in self.running:
                image = self._fill(self._image(), self.pixels, "rgb8")
                image.header = header(now)
                publisher.publish(image)

    def on_command(self, message: Any) -> None:
        if self.follows and self.trajectories:
            self.positions[:7] = message.position[:7]

    @property
    def mode(self) -> str:
        return self.status.mode if self.status else ""

    def call(self, client: Any, **fields: Any) -> Any:
        assert client.wait_for_service(30)
        done = threading.Event()
        future = client.call_async(client.srv_type.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(30)
        return future.result()


@pytest.fixture
def spun(domain: int) -> Iterator[Callable[[Any], Any]]:
    """Function that spins a node in a thread of its own until the test is over."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from cosmos3_ros.ros.node_runner import Host
    from cosmos3_ros.ros.spin_thread import spinning

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    nodes = []
    with contextlib.ExitStack() as threads:

        def spin(node: Any) -> Any:
            nodes.append(node)
            if hasattr(node, "trigger_shutdown"):
                host = Host(node)
                node.call = host.call
                threads.callback(host.close)
            else:
                threads.enter_context(spinning(node))
            return node

        yield spin
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown()


def bring_up(node: Any) -> bool:
    """Configure and activate in the node's own thread."""
    from cosmos3_ros.ros import node_runner

    return node.call(lambda: node_runner.bring_up(node))


def overrides(values: dict[str, Any]) -> list[Any]:
    from rclpy.parameter import Parameter

    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.fixture
def robot(spun: Callable[[Any], Any]) -> Robot:
    made = Robot()
    spun(made.node)
    return made


@pytest.fixture
def policy(spun: Callable[[Any], Any]) -> Any:
    from cosmos3_ros.nodes.policy_node import PolicyNode

    drift = Drift()
    node = spun(PolicyNode(lambda params: drift, parameter_overrides=overrides(POLICY)))
    node.drift = drift
    return node


@pytest.fixture
def commander(request: pytest.FixtureRequest, spun: Callable[[Any], Any]) -> Any:
    """As a parameter: what is different from COMMANDER."""
    from cosmos3_ros.nodes.commander_node import CommanderNode

    return spun(
        CommanderNode(parameter_overrides=overrides(COMMANDER | getattr(request, "param", {})))
    )


def stamp_of(message: Any) -> int:
    from cosmos3_ros.ros.messages import to_ns

    return to_ns(message.header.stamp)


def test_nodes_reach_active_and_come_back_and_again(policy: Any, commander: Any) -> None:
    from lifecycle_msgs.msg import State

    for node in (policy, commander):
        for _ in range(2):
            assert bring_up(node)
            assert node.state_id == State.PRIMARY_STATE_ACTIVE
            node.call(node.trigger_deactivate)
            assert node.state_id == State.PRIMARY_STATE_INACTIVE
            node.call(node.trigger_cleanup)
            assert node.state_id == State.PRIMARY_STATE_UNCONFIGURED


def test_a_transition_that_does_not_exist_is_refused_and_the_node_lives(
    commander: Any, robot: Robot
) -> None:
    from lifecycle_msgs.msg import State, Transition
    from lifecycle_msgs.srv import ChangeState

    client = robot.node.create_client(ChangeState, "commander/change_state")
    assert not robot.call(client, transition=Transition(id=Transition.TRANSITION_ACTIVATE)).success
    assert robot.call(client, transition=Transition(id=Transition.TRANSITION_CONFIGURE)).success
    assert commander.state_id == State.PRIMARY_STATE_INACTIVE


def test_a_chunk_answers_the_stamps_of_the_frames_it_saw(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    assert bring_up(policy)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy's subscription")
    robot.instruct.publish(String(data="reach the cube"))
    wait_until(lambda: len(robot.chunks) >= 3, "three chunks")
    first = robot.chunks[0]
    assert {stamp_of(chunk) for chunk in robot.chunks} <= set(robot.stamps)
    assert [chunk.number for chunk in robot.chunks[:3]] == [1, 2, 3]
    assert (first.horizon, first.joint_names, first.discrete_joints) == (
        16,
        JOINTS,
        ["finger_joint"],
    )
    assert (first.instruction, first.embodiment) == ("reach the cube", "droid_sim")
    assert set(first.latency_stages) >= {"receive", "wait", "convert", "network"}
    spacing = np.diff([stamp_of(chunk) for chunk in robot.chunks[:3]]) / NS
    # as long may the pictures wait, and as much earlier is it begun
    latest = policy._replanner.latency.quantile(1.0)
    assert (spacing > 0.39 - 2 * latest).all(), (
        "a chunk is begun when 8 rows are over but for 2 and the latency"
    )
    assert first.strategy == "replace"


def test_without_an_instruction_there_is_no_chunk(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    from rclpy.parameter import Parameter

    assert bring_up(policy)
    wait_until(lambda: len(robot.stamps) > 15, "a second of images")
    assert not robot.chunks
    assert policy.set_parameters([Parameter("instruction", value="go")])[0].successful
    wait_until(lambda: robot.chunks, "a chunk")
    assert robot.chunks[0].instruction == "go"


def test_permuted_joint_names_are_put_in_order(policy: Any, robot: Robot, wait_until: Any) -> None:
    from std_msgs.msg import String

    robot.order = list(reversed(JOINTS))
    robot.positions = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.4]
    assert bring_up(policy)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy's subscription")
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: policy.drift.seen, "an inference")
    expected = [*robot.positions[:7], 0.5]  # the gripper half closed
    assert np.allclose(policy.drift.seen[0].state, expected)
    wait_until(lambda: robot.chunks, "a chunk")
    assert np.allclose(list(robot.chunks[0].values[:8]), [*robot.positions[:7], 0.4]), (
        "back in the robot's units"
    )


# the camera is to be the only reason
@pytest.mark.parametrize("commander", [{"max_state_age": 20.0}], indirect=True)
def test_a_stopped_camera_stops_the_chunks_and_the_commander_holds(
    policy: Any, commander: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    assert bring_up(policy)
    assert bring_up(commander)
    wait_until(
        lambda: robot.status is not None and robot.instruct.get_subscription_count() > 0,
        "the nodes",
    )
    wait_until(lambda: robot.call(robot.arm, data=True).success, "arming")
    robot.follows = True
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: robot.mode == "playing" and robot.trajectories, "the arm to be driven")
    robot.running.discard("wrist")
    wait_until(lambda: robot.mode == "holding", "a hold")
    assert "no newer one came" in robot.status.reason
    assert list(robot.trajectories[-1].points[-1].velocities) == [0.0] * 7, (
        "the last motion ends at rest"
    )
    wait_until(lambda: policy._infer.idle, "the end of what had begun")
    count = policy._number
    ticks = len(robot.stamps)
    wait_until(lambda: len(robot.stamps) > ticks + 15, "a second more")
    assert policy._number == robot.chunks[-1].number == count
    robot.running.add("wrist")
    wait_until(lambda: robot.mode == "playing", "playing again")


# less than a chunk, more than a tick
@pytest.mark.parametrize("commander", [{"max_state_age": 0.5}], indirect=True)
def test_lost_joint_states_end_in_a_hold_at_once(
    policy: Any, commander: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    assert bring_up(policy)
    assert bring_up(commander)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    wait_until(lambda: robot.call(robot.arm, data=True).success, "arming")
    robot.follows = True
    robot.instruct.publish(String(data="go"))
    for _ in range(3):  # if the machine stands still for a moment, the chunk may be over first
        robot.running.add("joints")
        wait_until(lambda: robot.mode == "playing", "playing")
        robot.running.discard("joints")
        wait_until(lambda: robot.mode == "holding", "a hold")
        if "joint states are" in robot.status.reason:
            return
    pytest.fail(robot.status.reason)


def test_a_dry_run_sends_nothing_to_the_controllers(
    policy: Any, commander: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    assert bring_up(policy)
    assert bring_up(commander)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: robot.status and robot.status.played >= 2, "chunks to be played")
    assert not robot.status.armed
    assert not robot.trajectories
    assert not robot.grippers
    wait_until(lambda: robot.call(robot.arm, data=True).success, "arming")
    wait_until(lambda: robot.trajectories and robot.grippers, "commands once it is armed")
    assert robot.trajectories[0].joint_names == JOINTS[:7]
    assert robot.call(robot.stop).success
    wait_until(lambda: not robot.status.armed and robot.status.mode != "waiting", "the stop")
    count = len(robot.trajectories)
    played = robot.status.played
    wait_until(lambda: robot.status.played >= played + 2, "chunks to go on in the dry run")
    assert len(robot.trajectories) == count


def test_diagnostics_tell_once_a_second_where_the_time_goes(
    policy: Any, commander: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.ros import topics

    told: dict[str, list[tuple[int, dict[str, str]]]] = {"policy": [], "commander": []}

    def hear(message: Any) -> None:
        (status,) = message.status
        told[status.name.split(":")[0]].append(
            (stamp_of(message), {v.key: v.value for v in status.values})
        )

    robot.node.create_subscription(
        topics.DIAGNOSTICS.type, topics.DIAGNOSTICS.name, hear, topics.DIAGNOSTICS.qos
    )
    assert bring_up(policy)
    assert bring_up(commander)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: robot.status and robot.status.played >= 3, "chunks to be played")
    counts = {name: len(lines) for name, lines in told.items()}
    wait_until(
        lambda: all(len(lines) > counts[name] + 2 for name, lines in told.items()), "diagnoses"
    )
    for lines in told.values():
        assert len(lines) <= (lines[-1][0] - lines[0][0]) / NS + 2, (
            "not more often, though one may come late"
        )
    seen, done = told["policy"][-1][1], told["commander"][-1][1]
    stages = {"receive", "wait", "convert", "network", "capture to publish"}
    for stage in stages:
        numbers = [float(seen[f"{stage} {part} [s]"]) for part in ("p50", "p95", "max")]
        assert 0 <= numbers[0] <= numbers[1] <= numbers[2], stage
    assert set(robot.chunks[-1].latency_stages) == stages - {"capture to publish"}, (
        "in every chunk too"
    )
    assert any(float(values["wrist age [s]"]) < 1 for _, values in told["policy"]), (
        "but for moments"
    )
    assert 5 < float(seen["joint states rate [Hz]"]) < 20
    assert {"strategy", "dropped", "refused", "remaining rows"} <= set(seen)
    assert 0 < float(done["capture to motion p50 [s]"]) <= float(done["capture to motion max [s]"])
    assert float(done["publish to motion p95 [s]"]) < float(done["capture to motion p95 [s]"])
    assert done["strategy"] == "replace"
    assert int(done["set points"]) > 50
    assert float(done["set points rate [Hz]"]) > 5
    assert {
        "armed",
        "mode",
        "remaining [s]",
        "limited",
        "rejected",
        "last rejection",
        "last limit",
    } <= set(done)
    assert done["lost"] == "0"


def test_chunks_that_are_lost_on_the_way_are_counted(
    commander: Any, robot: Robot, wait_until: Any
) -> None:
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message

    lost: list[str] = []
    robot.node.create_subscription(
        topics.DIAGNOSTICS.type,
        topics.DIAGNOSTICS.name,
        lambda m: lost.extend(v.value for v in m.status[0].values if v.key == "lost"),
        topics.DIAGNOSTICS.qos,
    )
    chunks = robot.node.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    assert bring_up(commander)
    wait_until(lambda: chunks.get_subscription_count() > 0 and lost, "the commander")
    values = np.tile(np.array(HOME, np.float32), (8, 1))
    for number in (5, 6, 9, 1, 2):  # two are missing; then the policy was activated again
        chunk = ActionChunk(values, tuple(JOINTS), robot.stamps[-1], NS // 15)
        chunks.publish(
            chunk_message(chunk, number=number, instruction="", embodiment="", seconds={})
        )
    wait_until(lambda: lost[-1] != "0", "the count")
    assert lost[-1] == "2"


def test_a_chunk_begun_before_a_new_instruction_is_thrown_away(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    assert bring_up(policy)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    policy.drift.gate.clear()
    robot.instruct.publish(String(data="first"))
    wait_until(lambda: not policy._infer.idle, "an inference to begin")
    robot.instruct.publish(String(data="second"))
    wait_until(lambda: policy._instruction == "second", "the second instruction")
    policy.drift.gate.set()
    wait_until(lambda: robot.chunks, "a chunk")
    assert robot.chunks[0].instruction == "second"


def test_the_future_is_decoded_only_for_a_subscriber(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.ros import topics

    decoded = []
    decode = policy.drift.decode
    policy.drift.decode = lambda prediction: decoded.append(1) or decode(prediction)
    assert bring_up(policy)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: len(robot.chunks) >= 2, "chunks")
    assert not decoded
    robot.node.create_subscription(
        topics.FUTURE.type, topics.FUTURE.name, robot.futures.append, topics.FUTURE.qos
    )
    wait_until(lambda: robot.futures, "a future")
    assert stamp_of(robot.futures[0]) in robot.stamps
    assert len(robot.futures[0].frames) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"joints": JOINTS[:5]}, "'joints' has 5 names"),
        (
            {"gripper_joint": "thumb"},
            "'gripper_joint' is 'thumb', but the gripper of embodiment droid_sim is where",
        ),
    ],
)
def test_a_wrong_robot_is_refused_at_configure(
    spun: Any, change: dict[str, Any], words: str
) -> None:
    from cosmos3_ros.nodes.policy_node import PolicyNode

    node = spun(PolicyNode(lambda params: Drift(), parameter_overrides=overrides(POLICY | change)))
    assert not bring_up(node)
    assert words in node.failure


def test_images_that_cannot_be_used_give_no_chunk_and_recovery_does(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    good, fill = robot.pixels, robot._fill
    robot._fill = lambda image, pixels, encoding: fill(image, np.zeros((4, 4), np.float32), "32FC1")
    assert bring_up(policy)
    wait_until(lambda: robot.instruct.get_subscription_count() > 0, "the policy")
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: policy._record.refused > 0, "a refusal")
    assert not robot.chunks
    robot._fill, robot.pixels = fill, good
    wait_until(lambda: robot.chunks, "a chunk once the images are good")


class Poses:
    """A policy that moves the tool along its own axis, as far as it is told to."""

    embodiment = EMBODIMENTS["droid_midtrain"]
    far = 2.0  # m

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        kind = self.embodiment
        values = np.tile(observation.state, (kind.horizon, 1))
        values[:, 2] += np.linspace(0, self.far, kind.horizon, dtype=np.float32)
        chunk = ActionChunk(values, kind.action_names, observation.stamp, kind.step, kind.discrete)
        return Prediction(chunk)

    def reset(self) -> None: ...


def test_poses_out_of_reach_give_no_chunk_and_are_said_and_others_do(
    spun: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.robot.robot_file import config_folder

    pytest.importorskip("pinocchio")
    urdf, poses = str(config_folder() / "urdf" / "droid_sim.urdf"), Poses()
    given = POLICY | {"urdf": urdf, "tool_frame": "panda_tcp", "check_observation": False}
    node = spun(PolicyNode(lambda params: poses, parameter_overrides=overrides(given)))
    assert bring_up(node), node.failure
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: "out of reach by" in node._faults.now.get("no chunk", ""), "the words")
    assert "ValueError: row 32 of 32, the tool at (" in node._faults.now["no chunk"]
    assert not robot.chunks
    poses.far = 0.1
    wait_until(lambda: robot.chunks, "a chunk")
    assert robot.chunks[0].number == 1
    assert list(robot.chunks[0].joint_names) == JOINTS
    assert "kinematics" in robot.chunks[0].latency_stages
    wait_until(lambda: "no chunk" not in node._faults.now, "the end of the fault")


def test_inferences_that_are_due_and_do_not_end_are_said(policy: Any, wait_until: Any) -> None:
    assert bring_up(policy)
    policy.call(lambda: policy._instruct("go"))
    wait_until(lambda: policy._record.refused, "an inference that is due, and cannot be")
    policy.call(policy._watch_inference)
    later = policy.steady() + 100 * NS
    policy.steady = lambda: later
    policy.call(policy._watch_inference)
    assert policy._faults.now["overdue"].startswith("no inference has ended for ")
    policy.call(lambda: policy._instruct(""))
    policy.call(policy._watch_inference)
    assert "overdue" not in policy._faults.now


def test_an_unexpected_error_in_a_callback_ends_the_process_loudly(domain: int) -> None:
    import rclpy

    from cosmos3_ros.nodes.commander_node import CommanderNode
    from cosmos3_ros.ros.node_runner import Host

    rclpy.init(args=[])
    died = threading.Event()
    host = Host(CommanderNode(parameter_overrides=overrides(COMMANDER)), died.set)
    try:
        host.node.create_timer(0.01, lambda: 1 / 0)
        assert died.wait(30)
    finally:
        host.close()
        host.node.destroy_node()
        rclpy.shutdown()


CAMERAS = """
import time, numpy as np, rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from cosmos3_ros.ros.messages import header
from cosmos3_ros.robot.images import fill

rclpy.init()
node = rclpy.create_node("cameras")
views = ("wrist", "exterior_1", "exterior_2")
qos = QoSProfile(depth=5)
cameras = [node.create_publisher(Image, f"camera/{view}/image_raw", qos) for view in views]
while not all(camera.get_subscription_count() for camera in cameras):
    time.sleep(0.01)
pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
begin = time.monotonic()
for k in range(1, 91):
    time.sleep(max(0.0, begin + k / 30 - time.monotonic()))
    for camera in cameras:
        message = fill(Image(), pixels, "rgb8")
        message.header = header(k)
        camera.publish(message)
print("all published", flush=True)
time.sleep(5)
"""


def test_three_cameras_at_30_hz_arrive_without_loss_of_the_newest(
    policy: Any, start: Any, wait_until: Any
) -> None:
    import sys

    assert bring_up(policy)
    seen: dict[str, list[int]] = {}
    store = policy._seen._store

    def count(stream: str, message_header: Any, payload: Any) -> None:
        if stream in seen:
            seen[stream].append(message_header.stamp.nanosec)
        store(stream, message_header, payload)

    policy._seen._store = count
    # the queues are short: a machine that stands still for a moment loses pictures, rightly
    for _ in range(3):
        seen.update({view: [] for view in DROID_SIM.views})
        cameras = start(sys.executable, "-c", CAMERAS)
        cameras.wait_for("all published", 60)
        with contextlib.suppress(pytest.fail.Exception):
            wait_until(
                lambda: all(stamps[-1:] == [90] for stamps in seen.values()),
                "the newest of each camera",
                3,
            )
        assert all(stamps == sorted(stamps) for stamps in seen.values())
        if all(len(stamps) >= 80 and stamps[-1] == 90 for stamps in seen.values()):
            return
        cameras.interrupt()
    pytest.fail(
        f"of 90 arrived: { ({view: (len(stamps), stamps[-1:]) for view, stamps in seen.items()}) }"
    )


def ask(robot: Robot, *targets: float, **more: Any) -> Any:
    """A future of what ~/imagine answers about these positions of the first joints."""
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from cosmos3_ros.ros import topics

    if not hasattr(robot, "imagine"):
        robot.imagine = robot.node.create_client(topics.IMAGINE.type, topics.IMAGINE.name)
    assert robot.imagine.wait_for_service(30)
    names = [f"panda_joint{k}" for k in range(1, 1 + len(targets))]
    point = JointTrajectoryPoint(positions=targets)
    candidate = JointTrajectory(joint_names=more.pop("names", names), points=[point])
    return robot.imagine.call_async(topics.IMAGINE.type.Request(candidate=candidate, **more))


def test_a_candidate_is_imagined_beside_the_policy_and_no_chunk_waits_for_it(
    policy: Any, robot: Robot, wait_until: Any
) -> None:
    """One graph: refusals, a clip without and with a policy that runs, two at once, no time."""
    from std_msgs.msg import String

    from cosmos3_ros.ros.messages import future_from, to_ns

    def answer(asked: Any) -> Any:
        wait_until(asked.done, "an answer of ~/imagine")
        return asked.result()

    assert bring_up(policy)
    refused = answer(ask(robot, 0.3))
    assert not refused.success
    assert "expected a sentence, and none is followed either" in refused.message
    robot.running.clear()
    silent = time.monotonic()  # what is on the way may still come
    wait_until(lambda: time.monotonic() > silent + 0.7, "pictures older than max_age")
    refused = answer(ask(robot, 0.3, instruction="wait"))
    assert "limit 0.50 s" in refused.message or "nothing received" in refused.message
    assert "; waited 2 s" in refused.message
    robot.running = {*DROID_SIM.views, "joints"}
    seen = answer(ask(robot, 0.3, instruction="wait"))
    assert (seen.success, policy.drift.seen) == (True, []), "no chunk was made for it"
    assert seen.message.startswith("a target, reached after 1.07 s; not named, so at rest")
    observation, candidate = policy.drift.asked[0]
    assert observation.instruction == "wait"
    assert candidate.values[-1, 0] == pytest.approx(0.3)
    assert (candidate.stamp, seen.future.number) == (observation.stamp, 0)
    future = future_from(seen.future)
    assert (future.stamp, future.step) == (observation.stamp, to_ns(seen.future.step))
    assert future.frames.shape == (3, 32, 32, 3)
    wrong = answer(ask(robot, 0.3, names=["elbow"], instruction="wait"))
    assert (wrong.success, len(policy.drift.asked)) == (False, 1)
    assert wrong.message.startswith("candidate: no joint 'elbow'; there are ['panda_joint1'")

    robot.instruct.publish(String(data="reach the cube"))
    wait_until(lambda: len(robot.chunks) >= 3, "chunks")
    policy.drift.imagines.clear()
    policy.drift.may_imagine.clear()
    first = ask(robot, 0.1)
    assert policy.drift.imagines.wait(20)
    made = len(policy.drift.seen)
    second = answer(ask(robot, 0.2))
    assert (second.success, second.message[:6]) == (False, "busy: ")
    wait_until(lambda: policy.call(lambda: policy._replanner.due() < policy.now()), "a chunk due")
    assert len(policy.drift.seen) == made, "none is begun that would have to wait for the model"
    policy.drift.may_imagine.set()
    assert answer(first).success
    assert policy.drift.asked[-1][0].instruction == "reach the cube"
    before = len(robot.chunks)
    wait_until(lambda: len(robot.chunks) > before + 1, "chunks again")

    policy.drift.gate.clear()
    wait_until(lambda: not policy._infer.idle, "an inference that does not end")
    busy = answer(ask(robot, 0.1))
    assert busy.message.startswith("busy: the policy has no ")
    assert busy.message.endswith(" s to spare between chunks; waited 2 s")
    waiting = ask(robot, 0.1)
    wait_until(lambda: policy.call(lambda: policy._imagine._turns.is_asked), "a request")
    policy.call(policy.trigger_deactivate)
    assert answer(waiting).message == "the policy node was stopped"
    policy.drift.gate.set()
    assert answer(ask(robot, 0.1)).message == "the policy node is not active"


class Counting(Robot):
    """Its pictures are as bright as they are many."""

    def tick(self) -> None:
        self.pixels = np.full((90, 160, 3), len(self.stamps) % 250, np.uint8)
        super().tick()


class Reader:
    """Inverse dynamics in place of a network: remembers what it was shown."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, Observation]] = []

    def infer_actions(self, frames: np.ndarray, observation: Observation) -> ActionChunk:
        if observation.stamp:  # not the warm-up
            self.asked.append((frames, observation))
        moves = 0.01 * np.arange(1, len(frames), dtype=np.float32)[:, None]
        names, discrete = DROID_SIM.action_names, DROID_SIM.discrete
        values = observation.state + moves
        return ActionChunk(values, names, observation.stamp, DROID_SIM.step, discrete)


class Films:
    """A generator in place of a network, whose steps may wait for the test."""

    frames = 9

    def __init__(self) -> None:
        self.gate, self.steps = threading.Event(), threading.Event()
        self.gate.set()
        self.is_busy = False
        self.seen: list[Observation] = []

    def complete(self, prompt: str, frames: int = 0, seed: int = 0, **given: Any) -> Any:
        if frames > self.frames:
            raise ValueError(f"frames: expected at most 9, got {frames}")
        return prompt, frames or self.frames, given.get("steps", 3)

    def brief(self) -> Any:
        return "wait", 9, 2

    def generate(self, request: Any, observation: Observation, pause: Any) -> Any:
        if not observation.stamp:  # the warm-up
            return request
        self.seen.append(observation)
        for done in range(1, request[2] + 1):
            self.is_busy = True
            self.steps.set()
            time.sleep(0.05)
            assert self.gate.wait(20)
            self.is_busy = False
            if done < request[2]:
                pause(done, request[2])
        return request

    def decode(self, generated: Any, stamp: int) -> Future:
        return Future(np.zeros((generated[1], 32, 32, 3), np.uint8), stamp, DROID_SIM.step)


def test_what_was_just_seen_is_read_as_actions(spun: Callable[[Any], Any], wait_until: Any) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.nodes.imagine.world_services import World
    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_from

    reader, drift = Reader(), Drift()
    world = World(lambda policy: reader, lambda policy, frames: Films())
    robot, given = Counting(), overrides(POLICY | {"recent_seconds": 1.0, "max_skew": 0.1})
    policy = spun(PolicyNode(lambda params: drift, world=world, parameter_overrides=given))
    spun(robot.node)
    assert bring_up(policy)
    client = robot.node.create_client(topics.INFER_ACTIONS.type, topics.INFER_ACTIONS.name)

    def read(**fields: Any) -> Any:
        """The first answer that is one: pictures of a busy machine may be too far apart."""
        answers = []
        wait_until(lambda: answers.append(robot.call(client, **fields)) or answers[-1].success, "")
        return answers[-1]

    answer = robot.call(client, seconds=0.4)
    assert "expected a sentence, and none is followed either" in answer.message
    answer = robot.call(client, seconds=5.0, instruction="look")
    assert answer.message == "seconds: expected 0, or 0.067 to 1.000, got 5"
    answer = read(seconds=0.4, instruction="look")
    assert answer.message == "6 rows of 0.40 s"
    frames, observation = reader.asked[-1]
    chunk = chunk_from(answer.actions)
    assert (answer.actions.number, answer.actions.instruction) == (0, "look")
    assert (len(frames), chunk.values.shape, chunk.names) == (7, (6, 8), tuple(JOINTS))
    assert (chunk.stamp, chunk.step) == (observation.stamp, DROID_SIM.step)
    assert 0 <= policy.now() - chunk.stamp < 3 * NS
    assert np.allclose(chunk.values[:, 0], 0.01 * np.arange(1, 7), atol=1e-6)
    bright = [int(frame.max()) for frame in frames]
    assert 3 <= (bright[-1] - bright[0]) % 250 <= 9, f"pictures of their moments: {bright}"
    assert not robot.chunks

    robot.instruct.publish(String(data="reach the cube"))
    wait_until(lambda: len(robot.chunks) >= 3, "chunks")
    answer = read()
    assert answer.actions.instruction == "reach the cube"
    assert answer.message == "15 rows of 1.00 s", "as many as are kept"
    drift.gate.clear()
    wait_until(lambda: not policy._infer.idle, "an inference that does not end")
    busy = robot.call(client)
    assert busy.message.endswith(" s to spare between chunks; waited 2 s")
    drift.gate.set()


def test_a_video_is_generated_step_by_step_between_chunks(
    spun: Callable[[Any], Any], robot: Robot, start: Any, wait_until: Any, tmp_path: Path
) -> None:
    """One graph: a result with feedback, refusals, one at a time, canceled, and the command."""
    from action_msgs.msg import GoalStatus
    from rclpy.action import ActionClient
    from std_msgs.msg import String

    from cosmos3_ros.nodes.imagine.world_services import World
    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import future_from

    disturbed: list[bool] = []

    class Watching(Drift):
        def infer(self, observation: Any, committed: Any = None) -> Prediction:
            disturbed.append(films.is_busy)
            return super().infer(observation, committed)

    films, drift, clips, feedback = Films(), Watching(), [], []
    world = World(lambda policy: Reader(), lambda policy, frames: films)
    given = overrides(POLICY | {"generate_frames": 9})
    policy = spun(PolicyNode(lambda params: drift, world=world, parameter_overrides=given))
    topic, action = topics.IMAGINED, topics.GENERATE_VIDEO
    robot.node.create_subscription(topic.type, topic.name, clips.append, topic.qos)
    assert bring_up(policy)
    client = ActionClient(robot.node, action.type, action.name)
    assert client.wait_for_server(30)

    def ask(prompt: str, **more: Any) -> tuple[Any, Any]:
        goal = action.type.Goal(prompt=prompt, **more)
        sent = client.send_goal_async(goal, lambda said: feedback.append(said.feedback))
        wait_until(sent.done, "an accepted goal")
        return sent.result(), sent.result().get_result_async()

    def answer(result: Any) -> Any:
        wait_until(result.done, "a result")
        return result.result()

    try:
        for words, wrong in ((" ", {}), ("go", {"frames": 13})):
            ended = answer(ask(words, **wrong)[1])
            assert (ended.status, ended.result.success) == (GoalStatus.STATUS_ABORTED, False)
            assert ended.result.message.startswith("frames: expected" if wrong else "prompt: exp")
        robot.instruct.publish(String(data="reach the cube"))
        wait_until(lambda: len(robot.chunks) >= 3, "chunks")
        before = len(robot.chunks)
        ended = answer(ask("the cube is lifted", steps=30)[1])
        assert (ended.status, ended.result.success) == (GoalStatus.STATUS_SUCCEEDED, True)
        assert ended.result.message == "9 frames"
        assert len(robot.chunks) > before, "30 steps last longer than a chunk"
        future, video = future_from(ended.result.video), ended.result.video
        assert (future.frames.shape, future.stamp) == ((9, 32, 32, 3), films.seen[0].stamp)
        assert (video.number, video.instruction) == (0, "the cube is lifted")
        wait_until(lambda: feedback[-1:] and feedback[-1].step == 29, "the last feedback")
        done = [said.step for said in feedback]
        assert done == sorted(set(done))
        assert {said.steps for said in feedback} == {30}
        wait_until(lambda: clips, "the video on its topic")
        assert clips[0].header.stamp == video.header.stamp

        films.steps.clear()
        films.gate.clear()
        handle, result = ask("the cube is dropped")
        assert films.steps.wait(20)
        ended = answer(ask("another")[1])
        assert ended.result.message == "busy: a video is being generated, one thing at a time"
        canceled = handle.cancel_goal_async()
        wait_until(canceled.done, "the answer to the cancellation")
        ended = answer(result)
        assert ended.status == GoalStatus.STATUS_CANCELED
        assert ended.result.message == "canceled by the caller"
        films.gate.set()
        before = len(robot.chunks)
        wait_until(lambda: len(robot.chunks) > before + 1, "chunks again")
        assert len(clips) == 1

        out = tmp_path / "clip.mp4"
        command = start("cosmos3", "live", "video", "the cube is turned", "--out", out)
        command.wait_for(f"wrote {out}: 9 frames after")
        assert out.is_file()
        films.gate.clear()
        films.steps.clear()
        command = start("cosmos3", "live", "video", "the cube is gone", "--out", out)
        assert films.steps.wait(40)
        assert command.interrupt() == 1
        assert "canceling" in command.output
        assert "error: no video was made: canceled by the caller" in command.output
        assert not any(disturbed), "no chunk is begun while a step has the model"
    finally:
        films.gate.set()


class Startled:
    """Compares nothing: every piece of a future is as surprising as the test says."""

    piece = 4

    def __init__(self) -> None:
        self.value = 0.2
        self.pieces: list[tuple[int, int, bool]] = []  # pictures, stamp, whether rows are known

    def begin(self, observation: Observation, prediction: Prediction) -> "Startled":
        return self

    def forget(self) -> None:
        """It remembers nothing."""

    def add(self, pictures: Any, stamp: int, played: ActionChunk | None = None) -> Surprise | None:
        assert all(set(views) == set(DROID_SIM.views) for views in pictures)
        self.pieces.append((len(pictures), stamp, played is not None))
        grid = np.full((2, 3), self.value, np.float32)
        return Surprise(stamp, {"wrist": self.value}, grid) if len(pictures) > 1 else None


def test_what_was_not_predicted_is_said_and_the_arm_holds_until_told_again(
    spun: Callable[[Any], Any], commander: Any, robot: Robot, wait_until: Any
) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.ros import topics

    meter, heard = Startled(), []
    values = overrides(POLICY | {"surprise": "hold"})
    policy = spun(PolicyNode(lambda params: Drift(), lambda _: meter, parameter_overrides=values))
    topic = topics.SURPRISE
    robot.node.create_subscription(topic.type, topic.name, heard.append, topic.qos)
    assert bring_up(policy)
    assert bring_up(commander)
    wait_until(lambda: robot.status and robot.instruct.get_subscription_count() > 0, "the nodes")
    wait_until(lambda: robot.call(robot.arm, data=True).success, "arming")
    robot.follows = True
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: len(heard) >= 3, "comparisons")
    assert {(said.alarm, said.reaction, said.instruction) for said in heard} == {
        (False, "hold", "go")
    }
    first = heard[0]
    assert (first.rows, first.columns, list(first.views)) == (2, 3, ["wrist"])
    assert first.value == pytest.approx(0.2)
    assert {stamp_of(chunk) for chunk in robot.chunks if chunk.number == first.number}
    assert {count for count, _, _ in meter.pieces} == {1, 4}
    assert any(known for count, _, known in meter.pieces if count == 4)
    meter.value = 3.0
    wait_until(lambda: robot.mode == "holding", "a hold")
    assert robot.status.reason == "surprised: not what was predicted"
    assert heard[-1].alarm
    ticks, count = len(robot.stamps), policy._number
    wait_until(lambda: len(robot.stamps) > ticks + 15, "a second more")
    assert policy._number <= count + 1, "what had begun may have ended"
    assert robot.mode == "holding"
    meter.value = 0.1
    robot.instruct.publish(String(data="go"))
    wait_until(lambda: robot.mode == "playing", "the arm to be driven again")
