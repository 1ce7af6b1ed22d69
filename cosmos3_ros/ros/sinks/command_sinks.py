# SPDX-License-Identifier: Apache-2.0
"""Where set points go: three kinds of arm controllers, and the gripper that is commanded apart."""

from __future__ import annotations

import array
import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from std_msgs.msg import Float64MultiArray

from ...execution.spline_motion import Limits, SplineMotion
from ...execution.supervision.motion_supervisor import Controller
from ...execution.trajectory_replacement import Away, TrajectoryReplacement, Waypoints
from .. import topics
from ..messages import command_message, trajectory_message
from .gripper_outputs import GripperOutput

Advertise = Callable[[topics.Topic], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class CommandedArm:
    """What the sinks are told about the arm."""

    joints: tuple[str, ...]  # the order of `limits` and of set points
    gripper: str  # its joint; "": none
    grip: Callable[[], GripperOutput]  # makes the way to it
    limits: Limits
    stamped: bool  # trajectories say by the clock when each point is due
    away: Away  # where the arm is, if it may not be where it was led


class CommandSink(Controller, Protocol):
    """A controller of the arm behind a topic."""

    topic: topics.Topic  # of the controller
    output: Any  # the publisher to it
    gripper: GripperOutput | None  # the way to the gripper's controller, None without one


class TrajectorySink:
    """A joint trajectory controller: the whole motion at once.

    The gripper has a controller of its own.
    """

    topic, streams = topics.TRAJECTORY, False

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output, self._joints = advertise(self.topic), arm.joints
        self.gripper = arm.grip() if arm.gripper else None
        self._replacement = TrajectoryReplacement(arm.limits, arm.stamped, arm.away)

    def begin(self, motion: SplineMotion, now: int) -> None:
        self._send(self._replacement.next(motion, now))
        if self.gripper:
            self.gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        self._send(self._replacement.due(now))
        if self.gripper:
            self.gripper.send(gripper)

    def _send(self, waypoints: Waypoints | None) -> None:
        if waypoints:
            stamped = self._replacement.stamped
            self.output.publish(trajectory_message(waypoints, self._joints, stamped))


class PositionStreamSink:
    """A forward position controller: a stream of positions without names.

    The gripper has a controller of its own.
    """

    topic, streams = topics.POSITIONS, True

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output = advertise(self.topic)
        self.gripper = arm.grip() if arm.gripper else None

    def begin(self, motion: SplineMotion, now: int) -> None:
        if self.gripper:
            self.gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        self.output.publish(Float64MultiArray(data=array.array("d", position)))
        if self.gripper:
            self.gripper.send(gripper)


class JointCommandSink:
    """Isaac Sim's joint command: positions by name, arm and gripper in one message."""

    topic, streams = topics.JOINT_COMMAND, True
    gripper: GripperOutput | None = None  # in the arm's message

    def __init__(self, advertise: Advertise, arm: CommandedArm) -> None:
        self.output = advertise(self.topic)
        self._joints, self._gripper_joint = list(arm.joints), arm.gripper

    def begin(self, motion: SplineMotion, now: int) -> None: ...

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        names, positions = self._joints, position.tolist()
        if gripper is not None:
            names, positions = [*names, self._gripper_joint], [*positions, gripper]
        self.output.publish(command_message(names, positions, [], now))


SINKS: dict[str, Callable[[Advertise, CommandedArm], CommandSink]] = {
    "joint_trajectory": TrajectorySink,
    "position_stream": PositionStreamSink,
    "joint_command": JointCommandSink,
}
