# SPDX-License-Identifier: Apache-2.0
"""From a chunk to a motion within limits that ends at rest.

Pure numpy; times in integer ns, joints in float64.

A motion is a uniform cubic B-spline. Position, speed, acceleration and jerk between two knots lie
within the range of the control points' values and differences, so the limits hold at every moment
if they hold for those. A motion always ends at rest: whatever dies upstream, an arm that only
follows its last motion comes to a stop.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..model.interface import NS, ActionChunk

STEP = NS // 50  # between two knots
_H = STEP / NS
SLOWEST = 0.1  # share of its own speed at which a chunk may be played
PACES = 0.75 ** np.arange(9)  # paces that are tried, as shares of the highest possible one
# steps over which the old motion merges into the new one; the long ones only if nothing else works
MERGES = (5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300, 450)
# more of them for the way back to an arm, which may be far
FAR = (700, 1050, 1600, 2400, 3600)
# steps to come to rest
BRAKES = (3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 125, 160, 200)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits per joint, float64 [N], in rad or m and s."""

    lower: np.ndarray  # position range
    upper: np.ndarray
    velocity: np.ndarray  # largest magnitudes of the first three derivatives of the position
    acceleration: np.ndarray
    jerk: np.ndarray

    def __post_init__(self) -> None:
        sizes = {field.name: len(getattr(self, field.name)) for field in dataclasses.fields(self)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"limits: expected equal lengths, got {sizes}")
        if not (wide := self.lower < self.upper).all():
            joint = int(wide.argmin())
            raise ValueError(
                f"limits: expected lower < upper for every joint, got {self.lower[joint]} and "
                f"{self.upper[joint]} for joint {joint + 1} of {len(wide)}"
            )
        for name in ("velocity", "acceleration", "jerk"):
            if not (rates := getattr(self, name) > 0).all():
                joint = int(rates.argmin())
                raise ValueError(
                    f"limits: expected a positive {name}, got {getattr(self, name)[joint]} for "
                    f"joint {joint + 1} of {len(rates)}"
                )

    @property
    def continuous(self) -> np.ndarray:
        """Which joints turn without end, and have no position range: bool [N]."""
        return np.isinf(self.lower) & np.isinf(self.upper)

    def derivatives(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Largest magnitude of the first, second and third derivative of the position."""
        return self.velocity, self.acceleration, self.jerk

    def eased(self, share: float) -> Limits:
        """Those of the same motion when time passes at this share of its speed."""
        return dataclasses.replace(
            self, acceleration=self.acceleration * share**2, jerk=self.jerk * share**3
        )

    def allow(self, points: np.ndarray) -> np.ndarray:
        """Whether the spline of control points [..., K >= 4, N] keeps the limits: bool [..., N].

        At every moment, not at the knots only. A joint that begins outside its range may come back
        into it, but go no further.
        """
        head = points[..., :4, :]
        lower, upper = (
            np.minimum(self.lower, head.min(axis=-2)),
            np.maximum(self.upper, head.max(axis=-2)),
        )
        # a joint's points side by side: three times as fast
        change = np.ascontiguousarray(points.swapaxes(-1, -2))
        held: np.ndarray = (change.min(axis=-1) >= lower - 1e-9) & (
            change.max(axis=-1) <= upper + 1e-9
        )
        for order, most in enumerate(self.derivatives(), start=1):
            change = change[..., 1:] - change[..., :-1]
            held &= np.abs(change).max(axis=-1) <= most * _H**order * (1 + 1e-6)
        return held


@dataclasses.dataclass(frozen=True, slots=True)
class SplineMotion:
    """A uniform cubic B-spline that begins at `start` and ends at rest."""

    start: int  # ns
    # control points float64 [K >= 4, N], the last three alike; points k to k + 3 shape the motion
    # from start + k * STEP on
    points: np.ndarray
    pace: float = 1.0  # speed along the chunk that is followed, 1: as fast as the chunk says

    @property
    def end(self) -> int:
        """When the motion is at rest, ns."""
        return self.start + (len(self.points) - 3) * STEP

    def head(self, now: int) -> tuple[int, np.ndarray]:
        """When the span of `now` begins (ns), and its four control points [4, N]."""
        span = max(0, (now - self.start) // STEP)
        return self.start + span * STEP, self.points[
            np.minimum(np.arange(span, span + 4), len(self.points) - 1)
        ]

    def at(self, now: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity float64 [N] due at `now`, or [T, N] for times int64 [T].

        At rest after the end.
        """
        knots = np.maximum(now - self.start, 0) / STEP
        span = np.minimum(np.floor(knots), len(self.points) - 3).astype(int)
        around = self.points[np.minimum(span[..., None] + np.arange(4), len(self.points) - 1)]
        powers = _powers(np.minimum(knots - span, 1.0))[..., None, :]
        return (powers @ _VALUE @ around)[..., 0, :], (powers @ _SLOPE @ around)[..., 0, :] / _H

    def knots(self, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times int64 [T] (ns), positions and velocities of the knots later than `after`.

        At least the last knot. The cubic through two neighbors with their velocities is the motion
        itself.
        """
        times = self.start + STEP * np.arange(len(self.points) - 2, dtype=np.int64)
        a, b, c = self.points[:-2], self.points[1:-1], self.points[2:]
        keep = times > after
        keep[-1] = True
        return times[keep], ((a + 4 * b + c) / 6)[keep], ((c - a) / (2 * _H))[keep]


# Weights of the four control points around a moment: coefficients of 1, u, u^2, u^3 for u in 0..1
# between two knots.
_VALUE = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6
# over a whole span
_SLOPE = np.array([[-1, 0, 1, 0], [2, -4, 2, 0], [-1, 3, -3, 1], [0, 0, 0, 0]]) / 2


def _powers(u: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(u), u, u * u, u * u * u], axis=-1)


def rest(position: np.ndarray, now: int) -> SplineMotion:
    """Staying at `position` from `now` on."""
    return SplineMotion(now, np.tile(position.astype(np.float64), (4, 1)))


def brake(motion: SplineMotion, now: int, limits: Limits) -> SplineMotion:
    """Come to rest as soon as the limits let, joint by joint.

    A joint without a faster stop follows the motion to its end, which is at rest too.
    """
    start, head = motion.head(now)
    ahead = motion.points[(start - motion.start) // STEP + 4 :]
    points = np.vstack([head, ahead, np.tile(motion.points[-1], (max(BRAKES) + 2, 1))])
    missing = np.ones(points.shape[1], bool)
    before, last = np.diff(head[-3:], axis=0)
    for steps in BRAKES:
        # Speed over the steps k to come: (steps - k)^2 (a + b k), fitted to the speeds of the last
        # two steps.
        k = np.arange(1, steps + 1)[:, None]
        a = last / steps**2
        speed = (steps - k) ** 2 * (a + (a - before / (steps + 1) ** 2) * k)
        stop = np.vstack([head, head[-1] + np.cumsum(speed, axis=0)])
        stop = np.vstack([stop, np.tile(stop[-1], (len(points) - len(stop), 1))])
        found = missing & limits.allow(stop)
        points[:, found] = stop[:, found]
        missing &= ~found
        if not missing.any():
            break
    moving = np.flatnonzero(np.abs(np.diff(points, axis=0)).max(axis=1) > 1e-12)
    length = moving[-1] + 4 if len(moving) else 4  # four at least, the last three alike
    return SplineMotion(start, points[:length], motion.pace)


def return_to(motion: SplineMotion, now: int, position: np.ndarray, limits: Limits) -> SplineMotion:
    """Come to rest as soon as the limits let, then go to `position` [N] and rest there.

    A joint that cannot get there within the limits goes as far as its range, or stays where it came
    to rest.
    """
    stop = brake(motion, now, limits)
    head = stop.points[-4:]
    target = np.clip(
        position, np.minimum(limits.lower, head[-1]), np.maximum(limits.upper, head[-1])
    )
    begin, end = np.tile(head[-1], (4, 1)), np.tile(target, (3, 1))
    back, found = _merge(begin, end, limits, MERGES)
    if not found.all():
        back, found = _merge(begin, end, limits, FAR)
    points = np.vstack([stop.points, np.where(found, back, head[-1])[4:]])
    return SplineMotion(stop.start, points)


def follow(
    chunk: ActionChunk, motion: SplineMotion, now: int, limits: Limits, fastest: float = 1.0
) -> SplineMotion:
    """Merge from a motion into the remaining rows of a chunk, and come to rest at its last row.

    chunk: columns = the joints of `limits`, rows within its position range. It is followed as fast
    as it says if the limits let, else slower along the same path. fastest: share of its speed that
    is not exceeded. ValueError if no row is left or if the slowest pace is not slow enough.
    """
    start, head = motion.head(now)
    if chunk.end <= start:
        raise ValueError(f"chunk is over: its last row was due {(now - chunk.end) / NS:.3f} s ago")
    most = _pace(chunk, start, limits)
    failed = most < SLOWEST
    paces = [float(pace) for pace in min(most.min(), fastest) * PACES if pace >= SLOWEST]
    for merges in (MERGES[:7], MERGES[7:]) if paces else ():
        pace, points, found = _fastest(chunk, start, head, paces, limits, merges)
        if found.all():
            return SplineMotion(start, points, pace)
        failed = ~found
    names = ", ".join(name for name, bad in zip(chunk.names, failed, strict=True) if bad)
    raise ValueError(
        f"{names}: cannot be followed within the limits, even {1 / SLOWEST:.0f} times slower"
    )


def _fastest(
    chunk: ActionChunk,
    start: int,
    head: np.ndarray,
    paces: list[float],
    limits: Limits,
    merges: tuple[int, ...],
) -> tuple[float, np.ndarray, np.ndarray]:
    """The highest of the falling `paces` that keeps the limits, control points, which joints do.

    By bisection, since a chunk that can be followed can nearly always be followed slower: five
    trials instead of nine.
    """

    def attempt(index: int) -> tuple[np.ndarray, np.ndarray]:
        return _merge(head, _path(chunk, start, paces[index], limits), limits, merges)

    fails = works = 0
    points, found = attempt(0)
    if not found.all() and len(paces) > 1:
        works = len(paces) - 1
        points, found = attempt(works)
    while found.all() and works - fails > 1:
        middle = (fails + works) // 2
        tried, good = attempt(middle)
        if good.all():
            works, points = middle, tried
        else:
            fails = middle
    return paces[works], points, found


def _pace(chunk: ActionChunk, start: int, limits: Limits) -> np.ndarray:
    """Upper bound of each joint's pace for the rows to come, float64 [N], at most 1."""
    rows = chunk.values[max(0, int(np.searchsorted(chunk.times(), start)) - 1) :].astype(np.float64)
    pace = np.ones(rows.shape[1])
    for order, most in enumerate(limits.derivatives(), start=1):
        rows = np.diff(rows, axis=0)
        if len(rows):
            share = np.abs(rows).max(axis=0) / (chunk.step / NS) ** order / most
            pace = np.minimum(pace, (0.95 / np.maximum(share, 1e-9)) ** (1 / order))
    return pace


def _path(chunk: ActionChunk, start: int, pace: float, limits: Limits) -> np.ndarray:
    """Control points after the first [T, N] on the chunk's own spline, slowing down to its end."""
    rows = chunk.values.astype(np.float64)
    left = (chunk.end - start) / NS
    speed = pace * np.abs(np.diff(rows, axis=0)).max(axis=0, initial=0.0) / (chunk.step / NS)
    ramp = 1.25 * float(
        np.maximum(1.5 * speed / limits.acceleration, np.sqrt(6 * speed / limits.jerk)).max()
    )
    ramp = min(max(ramp, _H), 2 * left / pace)
    steady = (left - pace * ramp / 2) / pace
    # three at least: `_merge` compares three points
    time = np.arange(max(3, int(np.ceil((steady + ramp) / _H)) + 1)) * _H
    u = np.clip((time - steady) / ramp, 0, 1)
    done = pace * (np.minimum(time, steady) + ramp * (u - u**3 + u**4 / 2))
    row = np.minimum((start - chunk.start + done * NS) / chunk.step, len(rows) - 1)
    span = np.floor(row).astype(int)
    # Straight on beyond both ends: the spline passes through the last row, and neither begins nor
    # slows down by itself.
    before = max(0, -int(span[0])) + 1
    first, last = (rows[0] - rows[1], rows[-1] - rows[-2]) if len(rows) > 1 else (0.0, 0.0)
    rows = np.vstack([rows[0] + first * np.arange(before, 0, -1)[:, None], rows, rows[-1:] + last])
    around = np.minimum(span[:, None] + before + np.arange(-1, 3), len(rows) - 1)
    return np.einsum("tk,tkn->tn", _powers(row - span) @ _VALUE, rows[around])


def _merge(
    head: np.ndarray, path: np.ndarray, limits: Limits, merges: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Control points from `head` onto `path` [T, N], and which joints keep the limits.

    path: begins at the second point of `head`. All joints merge in the same time if they can, else
    the hand leaves the path of the chunk.
    """
    gap = head[1:] - path[:3]
    path = np.vstack([head, path[3:], np.tile(path[-1], (merges[-1] + 3, 1))])
    steps, k = np.array(merges)[:, None, None], np.arange(1, merges[-1] + 1)[:, None]
    # The gap fades over the steps k to come as (steps - k)^3 (a + b k + c k^2), fitted to the
    # gap at the last three points; all merges at once.
    old, mid, new = (gap[i] / (steps + 2.0 - i) ** 3 for i in range(3))
    fading = new + (3 * new - 4 * mid + old) / 2 * k + (new - 2 * mid + old) / 2 * (k * k)
    tried = np.repeat(path[None], len(merges), axis=0)
    tried[:, 4 : 4 + merges[-1]] += np.maximum(steps - k, 0) ** 3 * fading
    held = limits.allow(tried)
    shortest, found = held.argmax(axis=0), np.any(held, axis=0)
    if (together := held.all(axis=1)).any():
        shortest[:] = together.argmax()
    length = max(len(path) - merges[-1], merges[shortest.max()] + 7)
    return tried[shortest, :length, np.arange(len(shortest))].T, found
