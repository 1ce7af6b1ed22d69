# SPDX-License-Identifier: Apache-2.0
"""One motion for the controllers of all groups of joints, which begin and end it together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...execution.spline_motion import Limits, SplineMotion
from ...execution.trajectory_replacement import Away, Waypoints
from ...robot.joint_map import JointGroup
from .command_sinks import SINKS, Advertise, CommandedArm, CommandedTool, CommandSink
from .gripper_outputs import GripperOutput


@dataclasses.dataclass(frozen=True, slots=True)
class Commanded:
    """What all sinks of a robot are told, see `CommandedArm`."""

    limits: Limits
    stamped: bool
    away: Away
    tool: CommandedTool | None = None
    unit: np.ndarray | float = 1.0


class GroupedSinks:
    """The controllers of a robot: a motion of all joints goes to each of them, at one time.

    Each plans with all joints how its motion replaces the one before, so that all come to the same
    plan, and sends its own columns.
    """

    def __init__(self, sinks: Sequence[tuple[str, CommandSink]]) -> None:
        """sinks: with the joint of the gripper that each has, or ""."""
        self._sinks = tuple(sinks)

    @property
    def sinks(self) -> tuple[CommandSink, ...]:
        """Those of the groups, in their order."""
        return tuple(sink for _, sink in self._sinks)

    @property
    def streams(self) -> bool:
        """Whether they know only the last set point; they are all alike."""
        return self.sinks[0].streams

    def path(self, now: int) -> Waypoints | None:
        """See `Controller`; all sinks have come to the same."""
        return self.sinks[0].path(now)

    def way(self, now: int) -> np.ndarray | None:
        """See `Controller`."""
        return self.sinks[0].way(now)

    def is_bridging(self, now: int) -> bool:
        return self.sinks[0].is_bridging(now)

    def begin(self, motion: SplineMotion, now: int) -> None:
        for sink in self.sinks:
            sink.begin(motion, now)

    def point(
        self, position: np.ndarray, velocity: np.ndarray, grippers: Mapping[str, float], now: int
    ) -> None:
        for gripper, sink in self._sinks:
            sink.point(position, velocity, grippers.get(gripper), now)

    def release(self) -> None:
        """The robot is disarmed: nothing more is wanted of its grippers."""
        for sink in self.sinks:
            if sink.gripper:
                sink.gripper.release()


def grouped_sinks(
    groups: Sequence[tuple[JointGroup, str]],
    joints: Sequence[str],
    robot: Commanded,
    advertise: Callable[[JointGroup], Advertise],
    grip: Callable[[JointGroup], Callable[[], GripperOutput]],
) -> GroupedSinks:
    """The sinks of the groups, by their kinds in `SINKS`.

    joints: of all groups, in the order of the limits; advertise, grip: the ways of a group to its
    topics and to its gripper.
    """
    made, about = [], (robot.limits, robot.stamped, robot.away, robot.tool, robot.unit)
    for group, kind in groups:
        columns = np.array([joints.index(joint) for joint in group.joints])
        arm = CommandedArm(group.joints, group.gripper, grip(group), *about, columns)
        made.append((group.gripper, SINKS[kind](advertise(group), arm)))
    return GroupedSinks(made)
