# SPDX-License-Identifier: Apache-2.0
"""Controllers between ROS topics and the servos of a real arm: pure, time is passed in (ns).

The joint_trajectory_controller of ros2_controllers in Jazzy, as it treats trajectories from its
topic; a forward position controller; joint commands by name as Isaac Sim takes them. Whoever was
accepted last moves the arm, unless the arm's controllers are inactive: what arrives meanwhile is
checked and ignored.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from ..model.interface import NS

# Jazzy's tolerance for "zero" velocity at the end of a trajectory: the epsilon of a C++ float.
_ZERO = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One point of a trajectory as it came in a message. time: ns after the start.

    empty: not given.
    """

    time: int
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()
    effort: Sequence[float] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Trajectory:
    """A trajectory as it came in a message. stamp: when time 0 of its points is, ns.

    0: at the next update.
    """

    joints: Sequence[str]
    points: Sequence[Point]
    stamp: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """Positions, velocities and accelerations of the joints, [D] each; None: unknown."""

    positions: np.ndarray
    velocities: np.ndarray | None = None
    accelerations: np.ndarray | None = None


def at_rest(positions: np.ndarray) -> State:
    """The state of standing still."""
    return State(positions, np.zeros_like(positions), np.zeros_like(positions))


def interpolate(a: State, b: State, duration: float, time: float) -> State:
    """The state `time` seconds after a, on the way to b, which is reached after `duration` seconds.

    Linear, cubic or quintic in the positions, by what a and b both know.
    """
    coefficients = np.zeros((6, len(a.positions)))
    coefficients[0] = a.positions
    way = b.positions - a.positions
    if a.velocities is None or b.velocities is None:
        coefficients[1] = way / duration
    elif a.accelerations is None or b.accelerations is None:
        coefficients[1] = a.velocities
        coefficients[2] = (3 * way / duration - 2 * a.velocities - b.velocities) / duration
        coefficients[3] = (-2 * way / duration + a.velocities + b.velocities) / duration**2
    else:
        v, w, p, q = a.velocities, b.velocities, a.accelerations, b.accelerations
        coefficients[1], coefficients[2] = v, p / 2
        coefficients[3] = (20 * way - (8 * w + 12 * v) * duration - (3 * p - q) * duration**2) / (
            2 * duration**3
        )
        coefficients[4] = (
            -30 * way + (14 * w + 16 * v) * duration + (3 * p - 2 * q) * duration**2
        ) / (2 * duration**4)
        coefficients[5] = (12 * way - 6 * (w + v) * duration + (q - p) * duration**2) / (
            2 * duration**5
        )
    n = np.arange(6)
    powers = time**n
    velocity = (n[1:] * powers[:-1]) @ coefficients[1:]
    acceleration = (n[2:] * n[1:-1] * powers[:-2]) @ coefficients[2:]
    return State(powers @ coefficients, velocity, acceleration)


class ArmController:
    """Set points of the arm's joints over time: `follow` a trajectory, `update` in every period.

    All times in ns and by the controller's clock. A refused command raises ValueError and changes
    nothing.
    """

    def __init__(
        self,
        joints: Sequence[str],
        period: int,
        from_desired: bool = True,
        moving_end: bool = False,
        from_command: bool = True,
    ) -> None:
        """period: ns between updates.

        The others are flags of the controller. from_desired (interpolate_from_desired_state):
        bridge to a new trajectory from the last set point and not from the measured state;
        moving_end: allow_nonzero_velocity_at_trajectory_end; from_command
        (set_last_command_interface_value_as_state_on_activation): begin at the last set point when
        activated, and not where the arm is measured. The defaults of the last two are Jazzy's.
        """
        self.joints = tuple(joints)
        self._period, self._from_desired, self._moving_end = period, from_desired, moving_end
        self._from_command, self.active = from_command, True
        self._points: list[tuple[int, State]] = []
        self._command = at_rest(np.zeros(len(self.joints)))
        self.hold(np.zeros(len(self.joints)), 0)

    def deactivate(self) -> None:
        """Stop: the last set point stays, and commands are ignored until `activate`."""
        self.active = False
        self.hold(self._command.positions, self._commanded_at)

    def activate(self, now: int, measured: State) -> None:
        """Take commands again, holding where the arm is, or at the last set point."""
        self.active = True
        here = self._command.positions if self._from_command else measured.positions
        self.hold(here, now)
        self._points = [(0, self._command)]
        # until the first update the speed is the measured one, as in the controller
        self._command = dataclasses.replace(self._command, velocities=_copy(measured.velocities))

    def hold(self, positions: np.ndarray, now: int) -> None:
        """Forget the trajectory; the set point is `positions` [D] from now on."""
        self._points = []
        self._start: int | None = None
        self._before = (now, at_rest(np.array(positions, float)))
        self._command, self._commanded_at = self._before[1], now
        self._stamp = 0

    def follow(self, trajectory: Trajectory, now: int) -> None:
        """Replace the trajectory by this one."""
        self._check(trajectory, now)
        if not self.active:
            return
        order = [list(trajectory.joints).index(name) for name in self.joints]
        self._points = [(point.time, _ordered(point, order)) for point in trajectory.points]
        self._stamp, self._start = trajectory.stamp, None

    def stream(self, positions: Sequence[float], now: int) -> None:
        """Go to these positions at once: all joints in the order of `joints`."""
        if len(positions) != len(self.joints):
            raise ValueError(f"expected {len(self.joints)} positions, got {len(positions)}")
        _check_finite("positions", positions)
        if self.active:
            self.hold(np.array(positions, float), now)

    def update(self, now: int, measured: State) -> np.ndarray:
        """The set point [D] for the end of the period that begins now.

        measured: positions and velocities.
        """
        if self._points and self._start is None:
            self._begin(now, measured)
        if self._points:
            self._command = self._sample(now + self._period)
        self._commanded_at = now
        return self._command.positions

    def _begin(self, now: int, measured: State) -> None:
        self._start = self._stamp or now
        when, state = (self._commanded_at, self._command) if self._from_desired else (now, measured)
        first = self._points[0][1]
        if first.velocities is not None and state.velocities is None:
            state = dataclasses.replace(state, velocities=np.zeros_like(state.positions))
        if first.accelerations is not None and state.accelerations is None:
            state = dataclasses.replace(state, accelerations=np.zeros_like(state.positions))
        self._before = (when, state)

    def _sample(self, time: int) -> State:
        after = time - (self._start or 0)
        k = bisect.bisect_right(self._points, after, key=lambda point: point[0])
        # With its first point already past, a trajectory is entered where it is now: the controller
        # jumps onto it.
        if k == len(self._points):
            return at_rest(self._points[-1][1].positions)
        if k:
            return _between(self._points[k - 1], self._points[k], after)
        begin, state = self._before
        return _between((begin - (self._start or 0), state), self._points[0], after)

    def _check(self, trajectory: Trajectory, now: int) -> None:
        if sorted(trajectory.joints) != sorted(self.joints):
            raise ValueError(
                f"trajectory: expected each of the joints {list(self.joints)}, got "
                f"{list(trajectory.joints)}"
            )
        if not trajectory.points:
            raise ValueError("trajectory: expected at least one point, got none")
        for i, point in enumerate(trajectory.points):
            self._check_point(f"trajectory, point {i}", point)
        times = [point.time for point in trajectory.points]
        for i, (a, b) in enumerate(itertools.pairwise(times)):
            if b <= a:
                raise ValueError(
                    f"trajectory: times must increase, points {i} and {i + 1} are at {a / NS} "
                    f"and {b / NS} s"
                )
        speeds = np.abs(trajectory.points[-1].velocities)
        if not self._moving_end and (speeds > _ZERO).any():
            joint = trajectory.joints[int(speeds.argmax())]
            raise ValueError(
                f"trajectory: the last point must be at rest, {joint} moves at "
                f"{speeds.max():.6g} rad/s"
            )
        if trajectory.stamp and trajectory.stamp + times[-1] < now:
            late = (now - trajectory.stamp - times[-1]) / NS
            raise ValueError(f"trajectory: wholly in the past, it ended {late:.3f} s ago")

    def _check_point(self, where: str, point: Point) -> None:
        width = len(self.joints)
        for name in ("positions", "velocities", "accelerations"):
            values = getattr(point, name)
            if len(values) != width and (len(values) or name == "positions"):
                raise ValueError(f"{where}: expected {width} {name}, got {len(values)}")
            _check_finite(f"{where}: {name}", values)
        if len(point.accelerations) and not len(point.velocities):
            raise ValueError(f"{where}: accelerations need velocities")
        if len(point.effort):
            raise ValueError(f"{where}: effort is not supported by a position controller")


def _ordered(point: Point, order: list[int]) -> State:
    velocities, accelerations = (
        np.array(f, float)[order] if len(f) else None
        for f in (point.velocities, point.accelerations)
    )
    return State(np.array(point.positions, float)[order], velocities, accelerations)


def _copy(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.array(values, float)


def _between(a: tuple[int, State], b: tuple[int, State], time: int) -> State:
    if b[0] <= a[0]:
        return b[1]
    return interpolate(a[1], b[1], (b[0] - a[0]) / NS, max(time - a[0], 0) / NS)


def _check_finite(what: str, values: Sequence[float]) -> None:
    if not np.isfinite(np.asarray(values, float)).all():
        raise ValueError(f"{what}: expected finite numbers, got {list(values)}")


class Robot:
    """The controllers of arm and gripper together.

    A refused command raises ValueError and changes nothing.
    """

    def __init__(self, arm: ArmController, finger: str) -> None:
        """finger: name of the gripper's joint."""
        self.arm, self._finger_name = arm, finger
        self._finger = 0.0
        self._last = np.zeros(len(arm.joints))

    def hold(self, arm: np.ndarray, finger: float, now: int) -> None:
        """Forget all commands and stay here: joint positions [D] and the gripper's joint, rad."""
        self.arm.hold(arm, now)
        self._last, self._finger = np.array(arm, float), finger

    def grip(self, values: Sequence[float]) -> None:
        """Move the gripper's joint: one position, rad."""
        if len(values) != 1:
            raise ValueError(f"expected 1 position of {self._finger_name}, got {len(values)}")
        _check_finite(self._finger_name, values)
        self._finger = float(values[0])

    def command(self, names: Sequence[str], positions: Sequence[float], now: int) -> None:
        """Go to these positions at once: some of the joints, by name."""
        if len(names) != len(positions):
            raise ValueError(f"joint command: {len(names)} names but {len(positions)} positions")
        known = (*self.arm.joints, self._finger_name)
        if not names or len(set(names)) != len(names) or not set(names) <= set(known):
            raise ValueError(
                f"joint command: expected some of the joints {list(known)}, each once, got "
                f"{list(names)}"
            )
        _check_finite("joint command", positions)
        wanted = dict(zip(names, map(float, positions), strict=True))
        self._finger = wanted.pop(self._finger_name, self._finger)
        if wanted:
            self.arm.stream(
                [
                    wanted.get(name, now_at)
                    for name, now_at in zip(self.arm.joints, self._last, strict=True)
                ],
                now,
            )

    def update(self, now: int, measured: State) -> tuple[np.ndarray, float]:
        """Set points for the end of the period that begins now: arm [D] and gripper joint, rad."""
        self._last = self.arm.update(now, measured)
        return self._last, self._finger
