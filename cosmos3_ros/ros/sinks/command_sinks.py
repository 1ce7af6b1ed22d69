# SPDX-License-Identifier: Apache-2.0
"""Where set points go: controllers of joints or of the tool, and of the gripper apart from both."""

from __future__ import annotations

import abc
import array
import dataclasses
from collections.abc import Callable
from types import EllipsisType
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from std_msgs.msg import Float64MultiArray

from ...execution.spline_motion import Limits, SplineMotion
from ...execution.trajectory_replacement import Away, TrajectoryReplacement, Waypoints
from ...model.embodiment.rotations import matrix_to_rotation_vector
from ...model.interface import NS
from ...robot.kinematics.tool_frame import ToolFrame
from .. import topics
from ..messages import command_message, pose_message, trajectory_message, twist_message
from .gripper_outputs import GripperOutput

CATCH_UP = 2.0  # 1/s: how fast a twist makes up for what the tool is behind
MOST_CORRECTION = np.array([0.05] * 3 + [0.25] * 3)  # m/s and rad/s along each axis

Advertise = Callable[[topics.Topic], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class CommandedTool:
    """What sinks that lead the tool are told about it."""

    frame: ToolFrame
    motion: Callable[[], SplineMotion | None]  # that is played now
    measured: Callable[[], np.ndarray | None]  # positions of the arm [N]


@dataclasses.dataclass(frozen=True, slots=True)
class CommandedArm:
    """What the sinks are told about the arm, and about the robot that it is of.

    A robot with several arms moves them all at one time: each of their sinks is told every motion
    as a whole, and sends its own columns of it.
    """

    joints: tuple[str, ...]  # the order of what is sent
    gripper: str  # its joint; "": none
    grip: Callable[[], GripperOutput]  # makes the way to it
    limits: Limits  # of all joints of the robot
    stamped: bool  # trajectories say by the clock when each point is due
    away: Away  # where all joints are, if they may not be where they were led
    tool: CommandedTool | None = None  # of sinks that lead it
    unit: np.ndarray | float = 1.0  # what all joints of the robot say of 1 rad or 1 m [N]
    columns: np.ndarray | EllipsisType = ...  # of `joints` among those of the robot


class CommandSink(Protocol):
    """A controller of the arm of one group behind a topic; see `Controller`."""

    streams: bool
    topic: topics.Topic  # of the controller
    output: Any  # the publisher to it
    gripper: GripperOutput | None  # the way to the gripper's controller, None without one

    def path(self, now: int) -> Waypoints | None:
        """See `Controller`."""

    def way(self, now: int) -> np.ndarray | None:
        """See `Controller`."""

    def is_bridging(self, now: int) -> bool:
        """See `Controller`."""

    def begin(self, motion: SplineMotion, now: int) -> None:
        """A new motion replaces the one before."""

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        """The set point of `now` (ns); gripper: the position to take, None: nothing is known."""


class TrajectorySink:
    """A joint trajectory controller: the whole motion at once.

    The gripper has a controller of its own.
    """

    topic, streams = topics.TRAJECTORY, False

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output, self._joints, self._columns = advertise(self.topic), arm.joints, arm.columns
        self.gripper = arm.grip() if arm.gripper else None
        self._replacement = TrajectoryReplacement(arm.limits, arm.stamped, arm.away, arm.unit)

    def path(self, now: int) -> Waypoints | None:
        return self._replacement.path(now)

    def way(self, now: int) -> np.ndarray | None:
        return self._replacement.way(now)

    def is_bridging(self, now: int) -> bool:
        return self._replacement.is_bridging(now)

    def begin(self, motion: SplineMotion, now: int) -> None:
        if waypoints := self._replacement.next(motion, now):
            own = waypoints.of(self._columns)
            self.output.publish(trajectory_message(own, self._joints, self._replacement.stamped))
        if self.gripper:
            self.gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        if self.gripper:
            self.gripper.send(gripper)


class AnyStream:
    """A controller that is where the last set point was."""

    streams = True

    def path(self, now: int) -> None:
        """The motion itself."""

    def way(self, now: int) -> None:
        """The motion's own."""

    def is_bridging(self, now: int) -> bool:
        return False


class StreamSink(AnyStream, abc.ABC):
    """A stream of set points; the gripper has a controller of its own."""

    topic: topics.Topic

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output = advertise(self.topic)
        self.gripper = arm.grip() if arm.gripper else None

    @abc.abstractmethod
    def message(self, position: np.ndarray, velocity: np.ndarray, now: int) -> Any:
        """The set point of `now` (ns) for the controller."""

    def begin(self, motion: SplineMotion, now: int) -> None:
        if self.gripper:
            self.gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        self.output.publish(self.message(position, velocity, now))
        if self.gripper:
            self.gripper.send(gripper)


class PositionStreamSink(StreamSink):
    """A forward position controller: a stream of positions without names."""

    topic = topics.POSITIONS

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        super().__init__(advertise, arm)
        self._columns = arm.columns

    def message(self, position: np.ndarray, velocity: np.ndarray, now: int) -> Float64MultiArray:
        return Float64MultiArray(data=array.array("d", position[self._columns]))


class JointCommandSink(AnyStream):
    """Isaac Sim's joint command: positions by name, arm and gripper in one message."""

    topic = topics.JOINT_COMMAND
    gripper: GripperOutput | None = None  # in the arm's message

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output = advertise(self.topic)
        self._joints, self._gripper_joint = list(arm.joints), arm.gripper
        self._columns = arm.columns

    def begin(self, motion: SplineMotion, now: int) -> None: ...

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        names, positions = self._joints, position[self._columns].tolist()
        if gripper is not None:
            names, positions = [*names, self._gripper_joint], [*positions, gripper]
        self.output.publish(command_message(names, positions, [], now))


class ToolPoseSink(StreamSink):
    """A Cartesian controller: a stream of poses of the tool."""

    topic = topics.TOOL_POSE

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        assert arm.tool is not None  # the parameters see to it
        super().__init__(advertise, arm)
        self._tool = arm.tool.frame

    def message(self, position: np.ndarray, velocity: np.ndarray, now: int) -> PoseStamped:
        return pose_message(self._tool.pose(position), now, self._tool.base)


class ToolTwistSink(StreamSink):
    """A controller of the tool's velocity, as MoveIt Servo: a stream of twists.

    They make up for what the measured tool is behind. The last one of a motion is zero: a
    controller may keep to it.
    """

    topic = topics.TOOL_TWIST

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        assert arm.tool is not None  # the parameters see to it
        super().__init__(advertise, arm)
        self._tool = arm.tool
        self._last = 0  # when a twist was sent

    def message(self, position: np.ndarray, velocity: np.ndarray, now: int) -> TwistStamped:
        motion, period, self._last = self._tool.motion(), now - self._last, now
        frame, twist = self._tool.frame, np.zeros(6)
        # nothing more may be sent after the end, and the next period may be late
        if motion is not None and now + min(2 * period, NS // 10) < motion.end:
            twist = frame.twist(position, velocity) + self._correction(position)
        return twist_message(twist, now, frame.base)

    def _correction(self, position: np.ndarray) -> np.ndarray:
        """The twist [6] that brings the measured tool to where it is to be."""
        measured, frame = self._tool.measured(), self._tool.frame
        if measured is None:
            return np.zeros(6)
        wanted, seen = frame.pose(position), frame.pose(measured)
        turn = matrix_to_rotation_vector(wanted[:3, :3] @ seen[:3, :3].T)
        error = np.concatenate([wanted[:3, 3] - seen[:3, 3], turn])
        return np.clip(CATCH_UP * error, -MOST_CORRECTION, MOST_CORRECTION)


# sinks that need to know where the tool is
TOOL_SINKS: dict[str, Callable[[Advertise, CommandedArm], CommandSink]] = {
    "tool_pose": ToolPoseSink,
    "tool_twist": ToolTwistSink,
}
SINKS: dict[str, Callable[[Advertise, CommandedArm], CommandSink]] = {
    "joint_trajectory": TrajectorySink,
    "position_stream": PositionStreamSink,
    "joint_command": JointCommandSink,
    **TOOL_SINKS,
}
