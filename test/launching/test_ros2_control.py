# SPDX-License-Identifier: Apache-2.0
"""The commander with the real controllers of a ROS installation, on mock hardware.

`ros2_control_node` gets the controllers' file as it is; only what takes torques takes positions,
for mock hardware has no mass. Run with ROS and the built package sourced: `pytest -m ros2_control`.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytestmark = [pytest.mark.ros, pytest.mark.ros2_control]

CONFIG = Path(__file__).resolve().parents[2] / "config"
STEP, ROWS = 1 / 15, 32
REST = 0.01  # rad/s: slower is at rest
SWING, SECONDS = 0.2, 5.0  # rad and s: where the chunks lead, a slow wave


@dataclasses.dataclass(frozen=True)
class Setup:
    """Names of one robot file and its controllers' file."""

    robot: str
    arm: str
    gripper: str
    gripper_output: str = "position"

    @property
    def name(self) -> str:
        return f"{self.robot}-{self.gripper_output}"


SETUPS = (
    Setup("generic_6axis", "arm_controller", "gripper_controller"),
    Setup("franka_robotiq", "fr3_arm_controller", "robotiq_gripper_controller"),
    Setup("generic_6axis", "arm_controller", "gripper_controller", "gripper_command"),
    Setup("generic_6axis", "arm_controller", "gripper_controller", "parallel_gripper_command"),
)
# gripper_output -> package and type of the controller that takes such goals
ACTION_CONTROLLERS = {
    "gripper_command": (
        "gripper_controllers",
        "position_controllers/GripperActionController",
    ),
    "parallel_gripper_command": (
        "parallel_gripper_controller",
        "parallel_gripper_action_controller/GripperActionController",
    ),
}


def parameters(robot: str) -> dict[str, Any]:
    """The commander's parameters in a robot file."""
    file = yaml.safe_load((CONFIG / f"{robot}.yaml").read_text())
    return dict(file["/**/commander"]["ros__parameters"])


def controllers_file(setup: Setup, folder: Path) -> Path:
    """The shipped controllers' file, with positions in place of torques.

    And with a gripper controller that takes goals, where the setup has one.
    """
    file = yaml.safe_load((CONFIG / "controllers" / f"{setup.robot}.yaml").read_text())
    file[setup.arm]["ros__parameters"]["command_interfaces"] = ["position"]
    if setup.gripper_output in ACTION_CONTROLLERS:
        _, kind = ACTION_CONTROLLERS[setup.gripper_output]
        file["controller_manager"]["ros__parameters"][setup.gripper] = {"type": kind}
        joint = parameters(setup.robot)["gripper_joint"]
        file[setup.gripper]["ros__parameters"] = {"joint": joint, "allow_stalling": True}
    path = folder / "controllers.yaml"
    path.write_text(yaml.safe_dump(file))
    return path


def begin_of(values: dict[str, Any]) -> list[float]:
    """Where the mock arm stands first: in the middle of each joint's range."""
    return [float(a + b) / 2 for a, b in zip(values["lower"], values["upper"], strict=True)]


def description(values: dict[str, Any]) -> str:
    """A robot description with mock hardware for the arm and the gripper's joint."""
    joints = [*values["joints"], values["gripper_joint"]]
    at = [*begin_of(values), float(values["gripper_open"])]
    links = '<link name="l0"/>' + "".join(
        f'<link name="l{k}"/><joint name="{joint}" type="revolute"><parent link="l{k - 1}"/>'
        f'<child link="l{k}"/><axis xyz="0 0 1"/>'
        '<limit lower="-6.3" upper="6.3" velocity="10" effort="100"/></joint>'
        for k, joint in enumerate(joints, start=1)
    )
    interfaces = "".join(
        f'<joint name="{joint}"><command_interface name="position"/>'
        f'<state_interface name="position"><param name="initial_value">{where}</param>'
        '</state_interface><state_interface name="velocity"/></joint>'
        for joint, where in zip(joints, at, strict=True)
    )
    return (
        f'<robot name="mock">{links}<ros2_control name="mock" type="system"><hardware>'
        "<plugin>mock_components/GenericSystem</plugin>"
        '<param name="calculate_dynamics">true</param></hardware>'
        f"{interfaces}</ros2_control></robot>"
    )


class Policy:
    """Chunks that lead along a slow wave from wherever the arm is measured, and the arm's states.

    node: spun by somebody else.
    """

    def __init__(self, node: Any, values: dict[str, Any]) -> None:
        from cosmos3_ros.ros import topics

        self.joints, self.gripper = values["joints"], values["gripper_joint"]
        self.positions = [values["gripper_open"], values["gripper_closed"]]
        self.begin, self.number, self.running = begin_of(values), 0, True
        self.states: list[tuple[float, np.ndarray]] = []
        self.fingers: list[float] = []
        self.commands: list[tuple[float, np.ndarray]] = []
        self.status: Any = None
        self.chunks = node.create_publisher(
            topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
        )
        for topic, heard in (
            (topics.JOINT_STATES, self.on_state),
            (topics.COMMAND, self.on_command),
            (topics.COMMANDER_STATUS, lambda message: setattr(self, "status", message)),
        ):
            node.create_subscription(topic.type, topic.name, heard, topic.qos)
        self.thread = threading.Thread(target=self.run)

    def on_state(self, message: Any) -> None:
        known = dict(zip(message.name, message.position, strict=True))
        if set(self.joints) <= set(known):
            row = np.array([known[joint] for joint in self.joints])
            self.states.append((stamp_of(message), row))
        if self.gripper in known:
            self.fingers.append(known[self.gripper])

    def on_command(self, message: Any) -> None:
        count = len(self.joints)
        self.commands.append((stamp_of(message), np.array(message.position[:count])))

    def wave(self, at: np.ndarray) -> np.ndarray:
        swing = SWING * np.sin(2 * np.pi * at[:, None] / SECONDS)
        return np.array(self.begin) + swing * np.ones(len(self.joints))

    def run(self) -> None:
        """One chunk each 0.4 s, 0.1 s after what it answers."""
        from cosmos3_ros.model.interface import NS, ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        while self.running:
            time.sleep(0.3)
            if not self.states:
                continue
            stamp, measured = self.states[-1]
            time.sleep(0.1)
            ahead = STEP * np.arange(1, ROWS + 1)
            arm = self.wave(stamp + ahead)
            arm += np.exp(-ahead / 0.4)[:, None] * (measured - self.wave(np.array([stamp])))
            self.number += 1
            finger = np.full((ROWS, 1), self.positions[self.number // 5 % 2])
            names = (*self.joints, self.gripper)
            values = np.hstack([arm, finger]).astype(np.float32)
            chunk = ActionChunk(values, names, int(stamp * NS), NS // 15, (self.gripper,))
            self.chunks.publish(
                chunk_message(chunk, number=self.number, instruction="", embodiment="", seconds={})
            )

    def speeds(self, since: float) -> tuple[np.ndarray, np.ndarray]:
        """Times (s) since a moment, and the joints' speeds between two states [T, N], rad/s."""
        rows = [row for row in self.states if row[0] >= since]
        at, where = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        return at[1:], np.diff(where, axis=0) / np.diff(at)[:, None]


def stamp_of(message: Any) -> float:
    return float(message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec)


@dataclasses.dataclass
class Cell:
    """Everything that runs."""

    setup: Setup
    policy: Policy
    manager: Any  # the process of ros2_control_node
    commander: Any
    switch: Callable[[bool], None]  # activates or deactivates the arm's controller
    velocity: np.ndarray  # limits of the joints, rad/s


@pytest.fixture(params=SETUPS, ids=lambda setup: setup.name)
def cell(
    request: pytest.FixtureRequest, start: Any, watcher: Any, wait_until: Any, tmp_path: Path
) -> Iterator[Cell]:
    """Controllers, armed commander with automatic recovery, and chunks."""
    from ament_index_python import PackageNotFoundError, get_package_prefix
    from controller_manager_msgs.srv import SwitchController
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String

    setup, values = request.param, parameters(request.param.robot)
    if setup.gripper_output in ACTION_CONTROLLERS:
        package, _ = ACTION_CONTROLLERS[setup.gripper_output]
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            pytest.skip(f"the package {package} is not installed")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = watcher.create_publisher(String, "robot_description", latched)
    publisher.publish(String(data=description(values)))
    programs = Path(get_package_prefix("controller_manager"), "lib", "controller_manager")
    file = controllers_file(setup, tmp_path)
    manager = start(str(programs / "ros2_control_node"), "--ros-args", "--params-file", file)
    names = ("joint_state_broadcaster", setup.arm, setup.gripper)
    spawner = start(str(programs / "spawner"), *names)
    assert spawner.process.wait(60) == 0, spawner.output
    policy = Policy(watcher, values)
    wait_until(lambda: policy.states, "joint states of all joints")
    client = watcher.create_client(SwitchController, "/controller_manager/switch_controller")
    assert client.wait_for_service(20)

    def switch(on: bool) -> None:
        wanted = SwitchController.Request(strictness=SwitchController.Request.STRICT)
        (wanted.activate_controllers if on else wanted.deactivate_controllers).append(setup.arm)
        future = client.call_async(wanted)
        wait_until(future.done, "the controller to be switched")
        assert future.result().ok

    commander = start(
        *("commander", "--ros-args", "--params-file", CONFIG / f"{setup.robot}.yaml"),
        *("-p", "armed:=true", "-p", "recovery:=automatic"),
        *("-p", f"gripper_output:={setup.gripper_output}"),
        *("-p", f"gripper_action:={setup.gripper}/gripper_cmd"),
        *("-r", f"arm_controller/joint_trajectory:={setup.arm}/joint_trajectory"),
        *("-r", f"gripper_controller/commands:={setup.gripper}/commands"),
    )
    policy.thread.start()
    try:
        wait_until(lambda: policy.status and policy.status.played > 3, "chunks that are played")
        yield Cell(setup, policy, manager, commander, switch, np.array(values["velocity"]))
    finally:
        policy.running = False
        policy.thread.join()


def test_every_trajectory_is_accepted_and_followed(cell: Cell, wait_until: Any) -> None:
    policy = cell.policy
    begin, played = time.time(), policy.status.played
    wait_until(lambda: policy.status.played > played + 20, "20 more chunks", 60)
    assert "ERROR" not in cell.manager.output
    assert policy.status.mode == "playing"
    at = np.array([stamp for stamp, _ in policy.commands if stamp > begin])
    wanted = np.array([row for stamp, row in policy.commands if stamp > begin])
    times = np.array([stamp for stamp, _ in policy.states])
    where = np.array([row for _, row in policy.states])
    off = [np.abs(np.interp(at, times, where[:, k]) - wanted[:, k]) for k in range(wanted.shape[1])]
    assert np.percentile(off, 99) < 0.03
    assert np.ptp(where, axis=0).min() > SWING


def test_joint_states_come_at_100_hz(cell: Cell) -> None:
    begin = time.time()
    time.sleep(2.0)
    heard = sum(stamp > begin for stamp, _ in cell.policy.states)
    assert 170 <= heard <= 210


def test_the_gripper_follows_its_controller(cell: Cell, wait_until: Any) -> None:
    for where in (*cell.policy.positions, cell.policy.positions[0]):
        wait_until(lambda to=where: abs(cell.policy.fingers[-1] - to) < 1e-3, f"gripper at {where}")
    assert "was rejected" not in cell.commander.output
    assert "ERROR" not in cell.manager.output


def test_after_the_commander_was_killed_the_arm_comes_to_rest_within_its_limits(
    cell: Cell, wait_until: Any
) -> None:
    policy = cell.policy
    wait_until(lambda: np.abs(policy.speeds(time.time() - 0.2)[1]).max(initial=0.0) > 0.1, "motion")
    killed = time.time()
    cell.commander.process.kill()
    time.sleep(ROWS * STEP + 1.0)
    at, speeds = policy.speeds(killed)
    assert (np.abs(speeds) <= 1.1 * cell.velocity).all()
    assert np.abs(speeds[at > at[-1] - 0.3]).max() < REST
    assert "ERROR" not in cell.manager.output


@pytest.mark.parametrize("away", [0.1, 0.7, 3.0])
def test_a_controller_that_was_inactive_does_not_jump(
    cell: Cell, wait_until: Any, away: float
) -> None:
    policy = cell.policy
    wait_until(lambda: np.abs(policy.speeds(time.time() - 0.2)[1]).max(initial=0.0) > 0.1, "motion")
    cell.switch(False)
    stopped = time.time()
    time.sleep(away)
    cell.switch(True)
    time.sleep(4.0)
    _, speeds = policy.speeds(stopped)
    assert (np.abs(speeds) <= 1.1 * cell.velocity).all()
    assert policy.status.mode == "playing"
    if away > 2.0:
        assert "does not follow" in cell.commander.output
