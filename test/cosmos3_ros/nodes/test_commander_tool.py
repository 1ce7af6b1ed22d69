# SPDX-License-Identifier: Apache-2.0
"""The commander leads the tool of an arm by a Cartesian controller, within a workspace."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..robot.kinematics.arms import six_axes

pytestmark = pytest.mark.ros
pytest.importorskip("pinocchio")

JOINTS = [*"abcdef"]
START = np.array([0.0, 0.3, 0.6, 0.0, 0.5, 0.0])
SIDE = np.array([0.5, 0.0, 0.0, 0.0, 0.0, 0.0])  # from y = 0 to y = 0.33
ARM = {
    "joints": JOINTS,
    "acceleration": [8.0] * 6,
    "jerk": [200.0] * 6,
    "rate": 100.0,
    "tool_frame": "link_f",
    "base_frame": "base",
    "max_state_age": 1.0,
}


def described(folder: Path) -> str:
    """The path of the arm's description."""
    path = folder / "six.urdf"
    path.write_text(six_axes())
    return str(path)


class Cartesian:
    """A controller of the tool with the arm behind it: takes poses, or twists for 0.1 s."""

    def __init__(self, node: Any, urdf: str, kind: str) -> None:
        from sensor_msgs.msg import JointState
        from std_srvs.srv import SetBool

        from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
        from cosmos3_ros.ros import topics

        self.node, self.joints = node, START.copy()
        self.tool = ToolFrame(ToolSettings(urdf, "link_f", "base"), JOINTS)
        self.told: list[Any] = []
        self.status: Any = None
        topic = {"tool_pose": topics.TOOL_POSE, "tool_twist": topics.TOOL_TWIST}[kind]
        self._follow = {"tool_pose": self._to_pose, "tool_twist": self._by_twist}[kind]
        node.create_subscription(topic.type, topic.name, self.told.append, topic.qos)
        status, chunk = topics.COMMANDER_STATUS, topics.ACTION_CHUNK
        node.create_subscription(status.type, status.name, self._on_status, status.qos)
        self._states = node.create_publisher(JointState, "joint_states", 5)
        self._chunks = node.create_publisher(chunk.type, chunk.name, chunk.qos)
        self._state, self._arm = JointState, node.create_client(SetBool, "commander/arm")
        self._number, self._last = 0, time.monotonic()
        node.create_timer(0.01, self._tick)

    def _on_status(self, message: Any) -> None:
        self.status = message

    @property
    def now(self) -> int:
        return self.node.get_clock().now().nanoseconds

    def _tick(self) -> None:
        from cosmos3_ros.ros.messages import header, to_ns

        self.step, self._last = time.monotonic() - self._last, time.monotonic()
        if self.told and self.now - to_ns(self.told[-1].header.stamp) < 10**8:
            self._follow(self.told[-1])
        self._states.publish(
            self._state(header=header(self.now), name=JOINTS, position=self.joints.tolist())
        )

    def _to_pose(self, message: Any) -> None:
        from cosmos3_ros.model.embodiment.rotations import pose_to_transform

        p, q = message.pose.position, message.pose.orientation
        goal = pose_to_transform(np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w]))
        for _ in range(3):
            jacobian = self.tool.jacobian(self.joints)
            error = self.tool.error(self.tool.target(goal))
            self.joints = self.joints + np.linalg.lstsq(jacobian, error, rcond=1e-6)[0]

    def _by_twist(self, message: Any) -> None:
        line, turn = message.twist.linear, message.twist.angular
        twist = np.array([[line.x, line.y, line.z], [turn.x, turn.y, turn.z]])
        own = (twist @ self.tool.pose(self.joints)[:3, :3]).ravel()
        jacobian = self.tool.jacobian(self.joints)
        self.joints = self.joints + self.step * np.linalg.lstsq(jacobian, own, rcond=1e-6)[0]

    def arm(self) -> bool:
        from std_srvs.srv import SetBool

        waits = self._arm.wait_for_service(0.1)
        return waits and self._arm.call(SetBool.Request(data=True)).success

    def send(self, goal: np.ndarray, seconds: float = 1.5) -> int:
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        share = np.linspace(0, 1, 16)[1:, None]
        share = 3 * share**2 - 2 * share**3
        rows = (self.joints + share * (goal - self.joints)).astype(np.float32)
        chunk = ActionChunk(rows, tuple(JOINTS), self.now, round(seconds / 15 * 1e9))
        self._number += 1
        self._chunks.publish(
            chunk_message(
                chunk, number=self._number, instruction="go", embodiment="six", seconds={}
            )
        )
        return self._number


@pytest.mark.parametrize("kind", ["tool_pose", "tool_twist"])
def test_the_tool_is_led_within_its_workspace(
    kind: str, start: Any, watcher: Any, wait_until: Any, tmp_path: Path
) -> None:
    from cosmos3_ros.bringup.node_graph import yaml_value

    urdf = described(tmp_path)
    given = ARM | {"urdf": urdf, "sink": kind, "workspace_upper": [2.0, 0.4, 2.0]}
    given |= {"tool_velocity": [0.4, 2.0]}
    arm = Cartesian(watcher, urdf, kind)
    words = [word for n, v in given.items() for word in ("-p", f"{n}:={yaml_value(v)}")]
    commander = start("commander", "--ros-args", *words)
    wait_until(arm.arm, "an armed commander")
    first, goal = arm.tool.pose(START), START + SIDE
    arm.send(goal)
    wait_until(lambda: np.abs(arm.joints - goal).max() < 0.04, f"the goal; {arm.status}", 15.0)
    assert 0.2 < arm.tool.pose(arm.joints)[1, 3] - first[1, 3] < 0.4
    # silence: the motion is over, and the tool stays
    wait_until(lambda: arm.status.mode == "holding", "a hold")
    time.sleep(0.3)
    there = arm.joints.copy()
    time.sleep(0.3)
    assert np.abs(arm.joints - there).max() < 1e-3
    # further is outside
    number = arm.send(goal + SIDE)
    wait_until(lambda: arm.status.last_rejection.startswith(f"chunk {number}:"), "a rejection")
    assert "the tool would leave its workspace: (" in arm.status.last_rejection
    assert "beyond y <= 0.4 m" in arm.status.last_rejection
    assert np.abs(arm.joints - there).max() < 1e-3
    # back, faster than the tool may
    number = arm.send(START, seconds=0.6)
    wait_until(lambda: np.abs(arm.joints - START).max() < 0.04, "the way back", 15.0)
    assert arm.status.last_limit.startswith(f"chunk {number}: played at 0.")
    assert "does not follow" not in commander.output
    assert arm.told[-1].header.frame_id == "base"
