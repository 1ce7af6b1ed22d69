# SPDX-License-Identifier: Apache-2.0
"""The arm of a random history of the commander, and its controller. Times are ns."""

from __future__ import annotations

import collections
import contextlib
import dataclasses

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from cosmos3_ros.execution.spline_motion import Limits
from cosmos3_ros.model.interface import NS
from cosmos3_ros.nodes.sim_messages import trajectory
from cosmos3_ros.robot.joint_plausibility import differences
from cosmos3_ros.ros.messages import to_ns
from cosmos3_ros.sim.emulated_controllers import ArmController, Trajectory, at_rest

SUBSTEP = NS // 200  # of the true clock
FASTEST = 1.3  # speed of the arm's own drives, as a share of its limit


class Controller:
    """Leads the arm: along the last trajectory, or to the last set point of a stream.

    Whatever it is sent, its set point is not faster than the arm's limits. Trajectories are
    followed as ros2_controllers follow them, by the commander's clock: both are of one machine.
    """

    def __init__(self, position: np.ndarray, limits: Limits) -> None:
        self._limits, self.set_point, self.active = limits, position.copy(), True
        self._joints = ArmController([str(k) for k in range(len(position))], SUBSTEP)
        self._follows = False  # a trajectory, and not the last point of a stream
        self._target = position.copy()

    def begin(self, message: JointTrajectory, clock: int) -> None:
        if not self.active:
            return
        if not self._follows:
            self._joints.hold(self.set_point, clock)
        points = trajectory(message).points
        # continuous joints go the short way, as in the controller
        first = np.asarray(points[0].positions)
        way = differences(self.set_point, first, self._limits.continuous)
        turns = self.set_point + way - first
        points = [dataclasses.replace(p, positions=p.positions + turns) for p in points]
        names, self._follows = self._joints.joints, True
        with contextlib.suppress(ValueError):  # wholly in the past: it goes on as before
            self._joints.follow(Trajectory(names, points, to_ns(message.header.stamp)), clock)

    def point(self, position: np.ndarray) -> None:
        if self.active:
            self._follows, self._target = False, position.copy()

    def activate(self, position: np.ndarray) -> None:
        """Hold the arm where it is."""
        self.active, self._follows = True, False
        self.set_point, self._target = position.copy(), position.copy()

    def advance(self, clock: int) -> None:
        if self._follows:
            self._target = self._joints.update(clock, at_rest(self.set_point)).copy()
        most = 1.05 * self._limits.velocity * SUBSTEP / NS
        change = differences(self.set_point, self._target, self._limits.continuous)
        self.set_point = self.set_point + np.minimum(np.maximum(change, -most), most)


class Arm:
    """Follows the set points of its controller `lag` ns late, unless something holds it."""

    def __init__(self, position: np.ndarray, limits: Limits, lag: int) -> None:
        self.position, self._limits = position.copy(), limits
        self._due = collections.deque([position.copy()], maxlen=lag // SUBSTEP + 1)
        self.frozen = np.zeros(len(position), bool)  # by its own emergency stop, or brakes
        self.pushed: np.ndarray | None = None  # by a hand, rad/s
        self.put_at = 0  # when it was last put elsewhere at once, ns

    def advance(self, set_point: np.ndarray, led: bool) -> None:
        """led: its controller is active."""
        self._due.append(set_point)
        most = FASTEST * self._limits.velocity * SUBSTEP / NS
        if self.pushed is not None:
            self.position = np.clip(
                self.position + self.pushed * SUBSTEP / NS,
                self._limits.lower - 0.05,
                self._limits.upper + 0.05,
            )
        elif led:
            change = differences(self.position, self._due[0], self._limits.continuous)
            change = np.where(self.frozen, 0.0, change)
            self.position = self.position + np.minimum(np.maximum(change, -most), most)

    def put(self, position: np.ndarray, now: int) -> None:
        self.position, self.put_at = position.copy(), now
