# SPDX-License-Identifier: Apache-2.0
"""Whether the measured arm follows its set points. Pure; time is passed in."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np

from ..model.interface import NS
from .spline_motion import STEP, SplineMotion

WINDOW = 3 * NS // 2  # in which travels are compared
# a joint whose set points traveled more than a share of the limit, but which itself traveled less
# than a share of that, stands still
TRAVEL, STILL = 0.5, 0.1
LATELY, STANDING = NS // 10, 0.01  # an arm that moved less in that time stands [ns], [rad or m]
# share of the limit within which motions go on from the set point
NEAR = 0.5


class TrackingMonitor:
    """Compares the measured arm with where its set points have been.

    An arm that follows late is where its set points were within `lag`, at any speed, and travels
    about as far as they do. One that stands still (its own emergency stop, an inactive controller,
    brakes) is not there for long, and does not travel.

    joints: the names of the columns; lag: how late a healthy arm may follow, ns; limit: how far
    from where its set points were an arm that follows can be, rad or m.
    """

    def __init__(self, joints: Sequence[str], lag: int, limit: float) -> None:
        self._joints, self._lag, self._limit = tuple(joints), lag, limit
        # time (ns) and position [N] of the arm; the same of set points, and which motion they are
        # of: the first begins where a motion began anew at the arm
        self._arm: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._points: collections.deque[tuple[int, np.ndarray, int]] = collections.deque()
        self._motion = 0

    def forget(self) -> None:
        """Nothing is known about the arm and its set points."""
        self._arm.clear()
        self._points.clear()

    def restart(self) -> None:
        """The set points begin anew at the measured arm."""
        self._motion += 1

    def record(self, motion: SplineMotion, now: int) -> None:
        """The controllers follow `motion` until `now` (ns), since the last call at most."""
        points = self._points
        while points and points[-1][0] >= now:  # asked again, or the clock was set back
            points.pop()
        last = points[-1][0] if points else now
        if len(points) > 1 and now - points[-2][0] < STEP and points[-2][2] == self._motion:
            points.pop()  # one in each STEP is enough
        for when in (*range(max(last, now - WINDOW) + STEP, now, STEP), now):
            points.append((when, motion.at(when)[0], self._motion))
        _drop_before(points, now - WINDOW - 2 * self._lag)

    def measure(self, measured: np.ndarray, stamp: int) -> None:
        """The arm was measured at `stamp` (ns)."""
        arm = self._arm
        while arm and arm[-1][0] >= stamp:
            arm.pop()
        if len(arm) > 1 and stamp - arm[-2][0] < STEP:
            arm.pop()
        arm.append((stamp, measured))
        _drop_before(arm, stamp - WINDOW - self._lag)

    def shift(self, by: int) -> None:
        """The clock was set by `by` ns."""
        self._points = collections.deque((t + by, point, n) for t, point, n in self._points)
        self._arm = collections.deque((t + by, position) for t, position in self._arm)

    def deviation(self) -> np.ndarray:
        """How far the arm is from all set points of the last `lag`: [N], rad or m.

        Zero for a joint that is between two of them, and if none is known.
        """
        if not self._arm or not self._points:
            return np.zeros(len(self._joints))
        stamp, measured = self._arm[-1]
        begin, around = stamp - self._lag, []
        for when, point, motion in reversed(self._points):
            if motion != self._motion:
                break
            around.append(point)
            if when < begin:
                break
        if not around:
            return np.zeros(len(self._joints))
        lowest, highest = np.min(around, axis=0), np.max(around, axis=0)
        return np.maximum(0.0, np.maximum(lowest - measured, measured - highest))

    def fault(self) -> str:
        """Which joint does not follow, in words; empty if all do."""
        return self._distance_fault(self._limit) or self._travel_fault()

    def reason_to_restart(self) -> str:
        """Why the next motion must begin at the arm and not at its set point; empty if it may."""
        return self._distance_fault(NEAR * self._limit) or self._travel_fault()

    def is_standing(self) -> bool:
        """Whether the measured arm has not moved for a moment."""
        begin = self._arm[-1][0] - LATELY if self._arm else 0
        lately = [position for when, position in self._arm if when >= begin]
        if len(lately) < 2:
            lately = [position for _, position in list(self._arm)[-2:]]
        return bool(lately) and bool((np.ptp(lately, axis=0) < STANDING).all())

    def _distance_fault(self, limit: float) -> str:
        """Which joint is further than `limit` (rad or m) from its set points; empty if none is."""
        deviation = self.deviation()
        joint = int(deviation.argmax())
        if deviation[joint] <= limit:
            return ""
        return (
            f"the arm does not follow: {self._joints[joint]} is {deviation[joint]:.3f} from all "
            f"its set points of the last {self._lag / NS:.2f} s, limit {limit:.3f}"
        )

    def _travel_fault(self) -> str:
        """Which joint stands still while its set points move; empty if none does."""
        if not self._arm:
            return ""
        stamp = self._arm[-1][0]
        due = [item for item in self._points if item[0] <= stamp - self._lag]
        if len(due) < 2:
            return ""
        motions = np.array([motion for _, _, motion in due])
        positions = np.array([point for _, point, _ in due])
        wanted = sum(np.ptp(positions[motions == motion], axis=0) for motion in set(motions))
        far = wanted > TRAVEL * self._limit
        if not far.any():
            return ""
        begin = due[0][0]
        done = np.ptp([position for when, position in self._arm if when >= begin], axis=0)
        still = far & (done < STILL * wanted)
        if not still.any():
            return ""
        joint = int(np.where(still, wanted, 0.0).argmax())
        return (
            f"the arm does not follow: {self._joints[joint]} moved by {done[joint]:.3f} while its "
            f"set points moved by {wanted[joint]:.3f} in {(stamp - begin) / NS:.1f} s"
        )


def _drop_before(items: collections.deque, begin: int) -> None:  # type: ignore[type-arg]
    """Drop what is older than `begin` (ns), but for the newest of it."""
    while len(items) > 1 and items[1][0] < begin:
        items.popleft()
