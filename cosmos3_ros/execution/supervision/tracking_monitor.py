# SPDX-License-Identifier: Apache-2.0
"""Whether the measured arm follows its set points. Pure; time is passed in."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ...model.interface import NS
from ..spline_motion import STEP

# in which travels are compared
WINDOWS = (3 * NS // 8, 3 * NS // 4, 3 * NS // 2)
WINDOW = WINDOWS[-1]
COMPARISON = 2 * STEP  # between two comparisons
# a joint whose set points traveled more than a share of the limit, but which itself traveled less
# than a share of that, stands still
TRAVEL, STILL = 0.5, 0.1
LATELY, STANDING = NS // 10, 0.01  # an arm that moved less in that time stands [ns], [rad or m]
# share of the limit within which motions go on from the set point
NEAR = 0.5
JUST = 2.0  # multiple of the limit within which an arm that does not follow is noticed
# signs that the controller may have been away: this far off [rad or m]; or in one of these times
# [ns] set points traveled more than that, and the joint less than a share of it
OFF, STILLS, LEAST, PAUSED = 0.002, (3 * STEP, 6 * STEP, 18 * STEP), 0.003, 0.5


class Path(Protocol):
    """Positions over time."""

    def at(self, now: int, /) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity [N] at `now`, ns."""


class TrackingMonitor:
    """Compares the measured arm with where its set points have been.

    An arm that follows late is where its set points were within `lag`, at any speed, and travels
    about as far as they do. One that stands still (its own emergency stop, an inactive controller,
    brakes) is not there for long, and does not travel.

    joints: the names of the columns; lag: how late a healthy arm may follow, ns; limit: how far
    from where its set points were an arm that follows can be, as the joints say it; unit: what they
    say of 1 rad or 1 m [N].
    """

    def __init__(
        self, joints: Sequence[str], lag: int, limit: float, unit: np.ndarray | float = 1.0
    ) -> None:
        self._joints, self._lag, self._limit = tuple(joints), lag, limit
        self._off, self._least, self._standing = OFF * unit, LEAST * unit, STANDING * unit
        # time (ns) and position [N] of the arm; the same of set points, with two counts: how often
        # they began anew at the arm, and of motions
        self._arm: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        self._points: collections.deque[tuple[int, np.ndarray, tuple[int, int]]] = (
            collections.deque()
        )
        self._counts = (0, 0)
        # where set points began anew at the arm [N], until the arm was seen to move with them
        self._begun: np.ndarray | None = None
        self.forget()

    def forget(self) -> None:
        """Nothing is known about the arm and its set points."""
        self._compared, self._still = 0, ""  # when travels were compared last, ns; and the result
        # the way of set points back to an arm that had not followed: lowest, highest [N]
        self._way: tuple[np.ndarray, np.ndarray] | None = None
        self._way_until = 0  # until when the arm is watched there, ns
        self._begun = None
        self._arm.clear()
        self._points.clear()

    def is_far(self, position: np.ndarray, other: np.ndarray) -> bool:
        """Whether two positions [N] are further apart than those of an arm that follows."""
        return bool((np.abs(position - other) > self._limit).any())

    def begin(self, restart: bool) -> None:
        """A motion begins; restart: at the measured arm, not at the set point."""
        self._way = None
        restarts, motions = self._counts
        self._counts = (restarts + restart, motions + 1)

    def begin_return(self, way: np.ndarray, end: int) -> None:
        """The set points go back to where the arm was measured.

        way: positions [K, N] that they, and so an arm that follows them, may have until then;
        end: when they are there, ns.
        """
        self.forget()
        self._way = way.min(axis=0), way.max(axis=0)
        self._way_until = end + NS

    def watches_return(self, now: int) -> bool:
        """Whether the set points come back to the arm at `now` (ns), or just did."""
        return self._way is not None and now <= self._way_until

    def return_fault(self, now: int) -> str:
        """Which joint moves away from where it was measured, though its set points come there.

        In words; empty if none does. Then they are not those of what is measured.
        """
        if self._way is None or not self._arm or not self.watches_return(now):
            return ""
        measured = self._arm[-1][1]
        away = np.maximum(0.0, np.maximum(self._way[0] - measured, measured - self._way[1]))
        joint = int(away.argmax())
        if away[joint] <= self._limit:
            return ""
        return (
            f"{self._joints[joint]} moved away by {away[joint]:.3f} when its set points came to "
            f"where it was measured, limit {self._limit:.3f}: joint states and controller disagree"
        )

    def record(self, path: Path, now: int) -> None:
        """The controllers follow `path` until `now` (ns), since the last call at most."""
        points = self._points
        if not points or points[-1][2][0] != self._counts[0]:
            self._begun = path.at(now)[0]
        while points and points[-1][0] >= now:  # asked again, or the clock was set back
            points.pop()
        last = points[-1][0] if points else now
        if len(points) > 1 and now - points[-2][0] < STEP and points[-2][2] == self._counts:
            points.pop()  # one in each STEP is enough
        for when in (*range(max(last, now - WINDOW) + STEP, now, STEP), now):
            points.append((when, path.at(when)[0], self._counts))
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
        self._points = collections.deque(
            (t + by, point, counts) for t, point, counts in self._points
        )
        self._arm = collections.deque((t + by, position) for t, position in self._arm)

    def deviation(self) -> np.ndarray:
        """How far the arm is from all set points of the last `lag`: [N], rad or m.

        Zero for a joint that is between two of them, and if none is known.
        """
        if not self._arm or not self._points:
            return np.zeros(len(self._joints))
        stamp, measured = self._arm[-1]
        begin, around = stamp - self._lag, []
        for when, point, (restarts, _) in reversed(self._points):
            if restarts != self._counts[0]:
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

    def may_be_away(self) -> bool:
        """Whether the arm may not be led by the set points just now.

        Sooner than `fault`, and less sure: it is off them, or a joint stands while they move.
        """
        if not self._arm or not self._points:
            return False
        points = list(itertools.islice(reversed(self._points), 4))
        soon = np.ptp([position for _, position, _ in points], axis=0)
        # its clock may be a little ahead, and so the arm
        if (self.deviation() > self._off + soon).any() or not self._has_begun_to_move():
            return True
        stamp = self._arm[-1][0]
        return any(self._is_paused(stamp, window) for window in STILLS)

    def _has_begun_to_move(self) -> bool:
        """Whether the arm has moved with set points that began anew there, or need not yet have.

        A controller that was away when it was sent them still holds the arm where they began.
        """
        if self._begun is None:
            return True
        way = np.abs(self._points[-1][1] - self._begun)
        done, far = np.abs(self._arm[-1][1] - self._begun), way > self._least
        if not far.any():
            return True
        if (far & (done < PAUSED * way)).any():
            return False
        self._begun = None
        return True

    def _is_paused(self, stamp: int, window: int) -> bool:
        """Whether a joint stood for `window` (ns), though its set points moved all the time."""
        begin = stamp - window - self._lag
        points = [p for when, p, n in self._points if when >= begin and n[0] == self._counts[0]]
        steps = window // STEP
        if self._points[0][0] > begin or len(points) <= steps + 1:
            return False
        wanted = np.abs(np.subtract(points[steps:], points[:-steps])).min(axis=0)
        first = next(k for k, (when, _) in enumerate(self._arm) if when >= stamp - window)
        lately = [position for _, position in itertools.islice(self._arm, max(0, first - 1), None)]
        return bool(((wanted > self._least) & (np.ptp(lately, axis=0) < PAUSED * wanted)).any())

    def is_standing(self) -> bool:
        """Whether the measured arm has not moved for a moment."""
        begin = self._arm[-1][0] - LATELY if self._arm else 0
        lately = []
        for when, position in reversed(self._arm):
            lately.append(position)
            if when <= begin:  # one from before: two measured just now say nothing
                break
        return bool(lately) and bool((np.ptp(lately, axis=0) < self._standing).all())

    def has_just_stopped(self) -> bool:
        """Whether the arm is no further away than one that has just stopped following its points.

        Further away it was moved, or it is measured wrongly.
        """
        return bool(self.deviation().max() <= JUST * self._limit)

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
        stamp = self._arm[-1][0] if self._arm else 0
        if abs(stamp - self._compared) >= COMPARISON:
            self._compared, self._still = stamp, self._compare_travels(stamp)
        return self._still

    def _compare_travels(self, stamp: int) -> str:
        due = [item for item in self._points if item[0] <= stamp - self._lag]
        if len(due) < 2:
            return ""
        times = np.array([when for when, _, _ in due])
        positions = np.array([point for _, point, _ in due])
        motions = np.array([motion for _, _, (_, motion) in due])
        for window in WINDOWS:  # the shortest first: what was before may have been good
            lately = times >= times[-1] - window
            wanted = np.zeros(len(self._joints))
            for motion in set(motions[lately]):
                wanted += np.ptp(positions[lately & (motions == motion)], axis=0)
            far = wanted > TRAVEL * self._limit
            if not far.any():
                continue
            begin = int(times[lately][0])
            before = sum(when < begin for when, _ in self._arm) - 1
            done = np.ptp([position for _, position in list(self._arm)[max(before, 0) :]], axis=0)
            still = far & (done < STILL * wanted)
            if still.any():
                joint = int(np.where(still, wanted, 0.0).argmax())
                return (
                    f"the arm does not follow: {self._joints[joint]} moved by {done[joint]:.3f} "
                    f"while its set points moved by {wanted[joint]:.3f} in "
                    f"{(stamp - begin) / NS:.1f} s"
                )
        return ""


def _drop_before(items: collections.deque[Any], begin: int) -> None:
    """Drop what is older than `begin` (ns), but for the newest of it."""
    while len(items) > 1 and items[1][0] < begin:
        items.popleft()
