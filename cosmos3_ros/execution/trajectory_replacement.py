# SPDX-License-Identifier: Apache-2.0
"""How one trajectory replaces another in a joint trajectory controller (JTC). Pure.

A controller that is sent a new trajectory bridges the time until its first point by a cubic from
its own set point. Trajectories that continue the one before begin on its path, in the past: nothing
is left to bridge, however late they arrive. Where the controller may be elsewhere, as after a
fault, the first point lies so far ahead that the bridge keeps the limits from wherever it begins.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from types import EllipsisType

import numpy as np

from ..model.interface import NS
from ..robot.joint_plausibility import differences
from .spline_motion import STEP, Limits, SplineMotion

DELAY = 3 * NS // 100  # most of the way to the controller, and of what its clock shows more
PAST = 2 * STEP  # how far in the past a trajectory begins: its clock may show less
SETTLING = NS // 4  # after a bridge, at most until the arm is where it was led again
GRACE = NS // 10  # the last point is later than this: else it could be over on arrival
WAY = 100  # points of a way that one looks at, at most
SAME = 1e-3  # rad or m: motions this close at a moment continue each other
# rad or m: how far from the arm the controller may hold it that was sent nothing yet, and how far
# from where it was led back to
FIRST, NEAR = 1.0, 0.05
# What a bridge may take of the limits of speed and acceleration; motions take up to 1.
BRIDGE_SPEED, BRIDGE_ACCELERATION = 1.05, 1.25

State = tuple[np.ndarray, np.ndarray]  # position and velocity, float64 [N]
# where an arm is that may not be where it was led [N], and whether it stands; None: it follows
Away = Callable[[], tuple[np.ndarray, bool] | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Waypoints:
    """Points of a trajectory, cubics between them; the last one is at rest."""

    start: int  # ns: the moment that the times of its points are counted from
    times: np.ndarray  # int64 [K], ns
    positions: np.ndarray  # float64 [K, N]
    velocities: np.ndarray  # float64 [K, N]

    def at(self, now: int) -> State:
        """Position and velocity at `now`; at rest before the first and after the last point."""
        k = int(np.searchsorted(self.times, now, "right")) - 1
        if k < 0 or k + 1 >= len(self.times):
            end = self.positions[max(k, 0)]
            return end, self.velocities[k] if now == self.times[k] else np.zeros_like(end)
        duration, t = (self.times[k + 1] - self.times[k]) / NS, (now - self.times[k]) / NS
        (a, b), (v, w) = self.positions[k : k + 2], self.velocities[k : k + 2]
        begins, ends = _accelerations(b - a, v, w, duration)
        change = (ends - begins) / duration
        return a + t * (v + t * (begins / 2 + t * change / 6)), v + t * (begins + t * change / 2)

    def rows(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Of each point the time after `start` (ns), positions and velocities, [N] each."""
        rows = zip(self.times, self.positions, self.velocities, strict=True)
        for time, position, velocity in rows:
            yield int(time) - self.start, position, velocity

    def between(self, begin: int, end: int) -> Waypoints:
        """The same path from `begin` or its first point to `end`."""
        begin = max(begin, int(self.times[0]))
        inner = self.times[(self.times > begin) & (self.times < end)]
        times = np.array([begin, *inner, end])
        states = [self.at(int(time)) for time in times]
        return Waypoints(begin, times, *(np.array(rows) for rows in zip(*states, strict=True)))

    def of(self, joints: np.ndarray | EllipsisType) -> Waypoints:
        """The same of some of the joints, by their numbers; ...: of all."""
        positions, velocities = self.positions[:, joints], self.velocities[:, joints]
        return Waypoints(self.start, self.times, positions, velocities)

    def then(self, other: Waypoints) -> Waypoints:
        """These points and later ones."""
        return Waypoints(
            self.start,
            np.append(self.times, other.times),
            np.vstack([self.positions, other.positions]),
            np.vstack([self.velocities, other.velocities]),
        )


class TrajectoryReplacement:
    """The trajectories for one controller, one after the other.

    stamped: their points are due at a time by the clock, the controller has the same one; else they
    are due that long after they arrive. unit: what the joints say of 1 rad or 1 m [N].
    """

    def __init__(
        self,
        limits: Limits,
        stamped: bool,
        away: Away = lambda: None,
        unit: np.ndarray | float = 1.0,
    ) -> None:
        self._limits, self.stamped, self._away = limits, stamped, away
        self._same, self._first, self._near = SAME * unit, FIRST * unit, NEAR * unit
        self._motion: SplineMotion | None = None  # the last one
        self._sent_at = 0  # ns
        self._paths: list[Waypoints] = []  # the controller follows one of these
        # the one of them that begins where the arm was; None: nothing was sent
        self._path: Waypoints | None = None
        self._agree = 0  # from when on they are the same, ns
        # it was led back to an arm that had not followed, and may have ignored that too
        self._is_lost = False
        self._is_first = True  # nothing was sent yet

    def path(self, now: int) -> Waypoints | None:
        """Where the last motion leads the arm from where it was; None: nothing was sent by now."""
        return self._path if now >= self._sent_at else None

    def way(self, now: int) -> np.ndarray | None:
        """Positions [K, N] along which the last motion may lead the arm, wherever it was.

        None: nothing was sent by now.
        """
        if now < self._sent_at or not self._paths:
            return None
        end = max(int(path.times[-1]) for path in self._paths)
        times = range(now, end + STEP, max(STEP, (end - now) // WAY))
        return np.array([path.at(time)[0] for path in self._paths for time in times])

    def is_bridging(self, now: int) -> bool:
        """Whether the controller is not on the last motion yet, or the arm not where it is led.

        A new one would be bridged to while it moves, by a controller that labels its set point one
        period too early: it jumps by a period. Only a stop is worth that.
        """
        if not self.stamped or now < self._sent_at:  # it jumps anyway; the clock was set back
            return False
        return now < self._agree or (now < self._agree + SETTLING and self._away() is not None)

    def next(self, motion: SplineMotion, now: int) -> Waypoints | None:
        """What to send for a motion that replaces the one before; None: nothing."""
        if now < self._sent_at:  # the clock was set back
            self._motion, self._paths, self._agree = None, [], 0
        last, self._motion, self._sent_at = self._motion, motion, now
        here = motion.at(now)[0]
        jumps = last is not None and bool((np.abs(last.at(now)[0] - here) > self._same).any())
        anew = last is None or jumps or self._is_lost
        waypoints = self._replace(motion, now, [here] if anew else [])
        self._is_lost = jumps and not np.ptp(motion.points, axis=0).any()
        self._is_first = False
        return waypoints

    def _replace(self, motion: SplineMotion, now: int, rests: list[np.ndarray]) -> Waypoints | None:
        """rests: where else than on its last path the controller may hold the arm."""
        away = self._away()
        if not rests and away is None and now >= self._agree:
            return self._continue(motion, now)
        likely = rests[-1:]  # an arm that moves is being led, if a little late
        if away is not None:
            where, stands = away
            rests = [*rests, where]
            likely = [where] if stands else likely
        states = self._states(motion.at(now)[0], rests, now)
        waypoints = self._bridge(motion, now, states)
        self._paths = [_single(now, state).then(waypoints) for state in states]
        path = _single(now, (likely[0], np.zeros_like(likely[0]))) if likely else self._path
        assert path is not None  # before a first motion there are rests
        self._path = _single(now, path.at(now)).then(waypoints)
        self._agree = int(waypoints.times[0]) + PAST
        return waypoints

    def _continue(self, motion: SplineMotion, now: int) -> Waypoints | None:
        """From the path that the controller is on to the next knot in reach.

        None if it is at rest already where the motion ends.
        """
        path = self._paths[0]
        if motion.end <= now + STEP and self._stays(motion.points[-1], now):
            return None
        if not self.stamped:
            waypoints = self._bridge(motion, now, [path.at(now), path.at(now - DELAY)])
            self._path = _single(now, path.at(now)).then(waypoints)
        else:
            old = path.between(now - PAST, now + DELAY)
            self._path = waypoints = old.then(self._bridge(motion, now, [path.at(now + DELAY)]))
        self._paths = [self._path]
        return waypoints

    def _stays(self, position: np.ndarray, now: int) -> bool:
        """Whether the controller stays at this position from now on."""
        path = self._paths[0]
        rows = min(int(np.searchsorted(path.times, now)), len(path.times) - 1)
        return bool((np.abs(path.positions[rows:] - position) <= self._same).all())

    def _states(self, near: np.ndarray, rests: list[np.ndarray], now: int) -> list[State]:
        """Corners of where the set point of the controller may be now, and how fast.

        near: the begin of the motion, to which a continuous joint goes the short way; rests:
        besides where its last trajectory leads it, it may hold one of these positions.
        """
        if self._is_first:
            corners = [rests[0] - self._first, rests[0] + self._first]
            around = np.clip(corners, *self._range(rests[0]))
            rests = [*around, *rests[1:]]
        elif self._is_lost or not self._paths:
            rests = [rests[0] - self._near, rests[0] + self._near, *rests[1:]]
        states = [path.at(now) for path in self._paths]
        positions = np.array([*(position for position, _ in states), *rests])
        positions = near + differences(near, positions, self._limits.continuous)
        speeds = np.array([*(speed for _, speed in states), *map(np.zeros_like, rests)])
        ends = (np.min, np.max)
        return [(x(positions, axis=0), v(speeds, axis=0)) for x in ends for v in ends]

    def _range(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest set points that the controller may hold; the arm is at `position`."""
        lower, upper = self._limits.lower, self._limits.upper
        return np.minimum(lower, position) - self._near, np.maximum(upper, position) + self._near

    def _bridge(self, motion: SplineMotion, now: int, states: list[State]) -> Waypoints:
        """The knots from the first one that is reached within the limits from all these states."""
        begin = now + DELAY if self.stamped else now
        times, positions, velocities = motion.knots(begin + STEP // 4)
        times[-1] = max(int(times[-1]), begin + STEP // 4)
        seconds = (times - begin) / NS
        found = self._allow(states, seconds, positions, velocities)
        first = int(found.argmax()) if found.any() else len(times) - 1
        if not found.any():  # to its end, in more time than the motion takes
            longer = seconds[-1] * 1.1 ** np.arange(100)
            found = self._allow(states, longer, positions[-1:], velocities[-1:])
            times[-1] = begin + int(longer[found.argmax()] * NS)
        found_points = Waypoints(now, times[first:], positions[first:], velocities[first:])
        if times[-1] >= now + GRACE:
            return found_points
        return found_points.then(_single(now + GRACE, (positions[-1], velocities[-1])))

    def _allow(
        self,
        states: list[State],
        seconds: np.ndarray,
        positions: np.ndarray,
        velocities: np.ndarray,
    ) -> np.ndarray:
        """Which points [K] can be reached in these times from all states, by a cubic: bool [K]."""
        duration = seconds[:, None]
        allowed = np.ones(len(seconds), bool)
        for position, speed in states:
            begins, ends = _accelerations(positions - position, speed, velocities, duration)
            # The speed is a parabola, with its vertex on the way if the acceleration changes sign.
            turns = begins * ends < 0
            share = np.divide(begins, begins - ends, out=np.zeros_like(begins), where=turns)
            vertex = speed + begins * share * duration / 2
            fastest = np.maximum(np.abs(vertex), np.abs(velocities))
            strongest = np.maximum(np.abs(begins), np.abs(ends))
            slow = fastest <= np.maximum(BRIDGE_SPEED * self._limits.velocity, np.abs(speed))
            gentle = strongest <= BRIDGE_ACCELERATION * self._limits.acceleration
            allowed &= (slow & gentle).all(axis=-1)
        return allowed


def _accelerations(
    way: np.ndarray, v: np.ndarray, w: np.ndarray, duration: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Accelerations at both ends of the cubic that goes this way with these speeds at its ends."""
    mean = 6 * way / duration
    return (mean - 4 * v - 2 * w) / duration, (2 * v + 4 * w - mean) / duration


def _single(time: int, state: State) -> Waypoints:
    return Waypoints(time, np.array([time]), state[0][None], state[1][None])
