# SPDX-License-Identifier: Apache-2.0
"""What the sinks that lead the tool send, and where a Cartesian controller gets with it."""

from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import Limits, SplineMotion, brake, follow, rest
from cosmos3_ros.model.embodiment.rotations import pose_to_transform
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros
pytest.importorskip("pinocchio")

JOINTS = tuple(f"panda_joint{number}" for number in range(1, 8))
HOME = np.array([0.0, -0.63, 0.0, -2.51, 0.0, 1.88, 0.0])
GOAL = HOME + np.array([0.3, 0.2, -0.2, 0.3, 0.2, 0.2, 0.4])
LIMITS = Limits(*(np.full(7, value) for value in (-3.0, 4.0, 2.0, 8.0, 200.0)))
PERIOD = NS // 100


class Heard(list):
    publish = list.append


class Led:
    """A sink of this kind, what it has sent, and the motion that it is told of."""

    def __init__(self, kind: str, gripper: str = "") -> None:
        from cosmos3_ros.ros.sinks.command_sinks import SINKS, CommandedArm, CommandedTool
        from cosmos3_ros.ros.sinks.gripper_outputs import PositionTopic

        urdf = str(config_folder() / "urdf" / "droid_sim.urdf")
        self.frame = ToolFrame(ToolSettings(urdf, "panda_tcp"), JOINTS)
        self.motion: SplineMotion = rest(HOME, 0)
        self.measured: Any = None
        self.heard, self.gripped = Heard(), Heard()
        tool = CommandedTool(self.frame, lambda: self.motion, lambda: self.measured)
        arm = CommandedArm(
            JOINTS, gripper, lambda: PositionTopic(self.gripped), LIMITS, True, lambda: None, tool
        )
        self.sink = SINKS[kind](lambda topic: self.heard, arm)

    def go(self, motion: SplineMotion, now: int) -> None:
        self.motion = motion
        self.sink.begin(motion, now)

    def tick(self, now: int) -> Any:
        self.sink.point(*self.motion.at(now), 0.8, now)
        return self.heard[-1]


def motion_to(goal: np.ndarray, start: np.ndarray, now: int = 0) -> SplineMotion:
    rows = start + np.linspace(0, 1, 17)[1:, None] * (goal - start)
    chunk = ActionChunk(rows.astype(np.float32), JOINTS, now, NS // 15)
    return follow(chunk, rest(start, now), now, LIMITS)


def twist_of(message: Any) -> np.ndarray:
    line, turn = message.twist.linear, message.twist.angular
    return np.array([line.x, line.y, line.z, turn.x, turn.y, turn.z])


def test_poses_are_those_of_the_set_points() -> None:
    from cosmos3_ros.ros.messages import to_ns

    led = Led("tool_pose", "grip")
    led.go(motion_to(GOAL, HOME), 0)
    for now in range(0, led.motion.end, PERIOD):
        message = led.tick(now)
        place, turn = message.pose.position, message.pose.orientation
        seen = np.array([place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w])
        assert np.allclose(pose_to_transform(seen), led.frame.pose(led.motion.at(now)[0]))
        assert (message.header.frame_id, to_ns(message.header.stamp)) == ("panda_link0", now)
    assert [list(message.data) for message in led.gripped] == [[0.8]]


@pytest.mark.parametrize("lag", [0.0, 0.08])
def test_twists_lead_the_tool_along_the_motion(lag: float) -> None:
    """A controller that moves the joints as the twists say; it is measured `lag` later."""
    led = Led("tool_twist")
    led.go(motion_to(GOAL, HOME), 0)
    joints, fastest, line = HOME + 0.01, 0.0, []  # it begins some millimeters off
    for now in range(0, led.motion.end + NS // 2, PERIOD):
        line.append(joints)
        led.measured = line[max(0, len(line) - 1 - round(lag * NS / PERIOD))]
        twist = twist_of(led.tick(now)).reshape(2, 3)
        own = (twist @ led.frame.pose(joints)[:3, :3]).ravel()  # along the tool's axes
        joints = joints + np.linalg.pinv(led.frame.jacobian(joints)) @ own * PERIOD / NS
        fastest = max(fastest, float(np.linalg.norm(twist[0])))
    off = led.frame.pose(HOME + 0.01) - led.frame.pose(HOME)
    left = led.frame.pose(joints) - led.frame.pose(GOAL)
    assert np.abs(left[:3, 3]).max() < 0.6 * np.abs(off[:3, 3]).max() + 0.25 * lag
    assert 0.1 < fastest < 1.0


def test_a_tool_that_is_behind_is_caught_up_gently() -> None:
    led = Led("tool_twist")
    led.go(motion_to(GOAL, HOME), 0)
    now = led.motion.end // 2
    position = led.motion.at(now)[0]
    led.measured = position
    plain = twist_of(led.tick(now))
    led.measured = position - np.array([0.2, 0, 0, 0, 0, 0, 0])  # by 0.1 m and more
    more = twist_of(led.tick(now)) - plain
    assert more[1] == pytest.approx(0.05)
    assert np.abs(more[:3]).max() <= 0.05 + 1e-9
    assert np.abs(more[3:]).max() <= 0.25 + 1e-9


@pytest.mark.parametrize("stopped", [False, True])
def test_the_last_twist_is_zero_and_comes_before_the_end(stopped: bool) -> None:
    led = Led("tool_twist")
    led.go(motion_to(GOAL, HOME), 0)
    led.measured = HOME + 0.01
    if stopped:
        half = led.motion.end // 2
        led.go(brake(led.motion, half, LIMITS), half)
    ends = led.motion.end
    sent = [twist_of(led.tick(now)) for now in range(0, ends, PERIOD)]
    assert np.abs(sent[len(sent) // 3]).max() > 0.01
    assert not sent[-1].any()


def test_at_rest_nothing_moves() -> None:
    led = Led("tool_twist")
    led.measured = HOME + 0.05
    assert not twist_of(led.tick(NS)).any()
