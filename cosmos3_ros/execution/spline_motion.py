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
PACES = 0.75 ** np.arange(9)  # shares of the highest conceivable one that are tried
# Steps in which the old motion goes over into the new one; the longer ones only if there is no
# other way.
MERGES = (5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300, 450)
# steps to come to rest
BRAKES = (3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 125, 160, 200)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Per joint: position range (rad or m), largest speed, acceleration and jerk (its change per s). float64 [N]."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

    def __post_init__(self) -> None:
        sizes = {field.name: getattr(self, field.name).shape for field in dataclasses.fields(self)}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"limits: expected equal lengths, got { {name: size[0] for name, size in sizes.items()} }"
            )
        if not (self.lower < self.upper).all():
            raise ValueError("limits: expected lower < upper for every joint")
        if not all((rate > 0).all() for rate in self.rates()):
            raise ValueError("limits: expected positive speeds, accelerations and jerks")

    def rates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Largest first, second and third derivative."""
        return self.velocity, self.acceleration, self.jerk

    def hold_for(self, points: np.ndarray) -> np.ndarray:
        """Whether the spline of control points [..., K >= 4, N] keeps the limits at every moment: bool [..., N].

        A joint that begins outside its range may come back into it, but go no further.
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
        for order, most in enumerate(self.rates(), start=1):
            change = change[..., 1:] - change[..., :-1]
            held &= np.abs(change).max(axis=-1) <= most * _H**order * (1 + 1e-6)
        return held


@dataclasses.dataclass(frozen=True, slots=True)
class SplineMotion:
    """Control points float64 [K >= 4, N], the last three alike.

    Those from k to k + 3 count from `start + k * STEP` on.

    pace: how fast it follows its chunk; 1: as fast as the chunk says.
    """

    start: int
    points: np.ndarray
    pace: float = 1.0

    @property
    def end(self) -> int:
        """When it is at rest, ns."""
        return self.start + (len(self.points) - 3) * STEP

    def head(self, now: int) -> tuple[int, np.ndarray]:
        """The four control points [4, N] that count at `now`, and since when."""
        span = max(0, (now - self.start) // STEP)
        return self.start + span * STEP, self.points[
            np.minimum(np.arange(span, span + 4), len(self.points) - 1)
        ]

    def at(self, now: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity float64 [N] due at `now`, or [T, N] for times int64 [T].

        At rest after the end.
        """
        place = np.maximum(now - self.start, 0) / STEP
        span = np.minimum(np.floor(place), len(self.points) - 3).astype(int)
        around = self.points[np.minimum(span[..., None] + np.arange(4), len(self.points) - 1)]
        powers = _powers(np.minimum(place - span, 1.0))[..., None, :]
        return (powers @ _VALUE @ around)[..., 0, :], (powers @ _SLOPE @ around)[..., 0, :] / _H

    def knots(self, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times int64 [T] (ns) of the knots later than `after`, at least the last one.

        Positions and velocities there.

        The cubic through two neighbors with their velocities is the motion itself.
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

    Where nothing better is found the motion goes on to its
    end, which is at rest too.
    """
    start, head = motion.head(now)
    ahead = motion.points[(start - motion.start) // STEP + 4 :]
    points = np.vstack([head, ahead, np.tile(motion.points[-1], (max(BRAKES) + 2, 1))])
    missing = np.ones(points.shape[1], bool)
    before, last = np.diff(head[-3:], axis=0)
    for steps in BRAKES:
        # Speed over the steps k to come: (steps - k)^2 (a + b k), through what it was in the last
        # two.
        k = np.arange(1, steps + 1)[:, None]
        a = last / steps**2
        speed = (steps - k) ** 2 * (a + (a - before / (steps + 1) ** 2) * k)
        stop = np.vstack([head, head[-1] + np.cumsum(speed, axis=0)])
        stop = np.vstack([stop, np.tile(stop[-1], (len(points) - len(stop), 1))])
        found = missing & limits.hold_for(stop)
        points[:, found] = stop[:, found]
        missing &= ~found
        if not missing.any():
            break
    moving = np.flatnonzero(np.abs(np.diff(points, axis=0)).max(axis=1) > 1e-12)
    length = moving[-1] + 4 if len(moving) else 4  # to three alike, and four at least
    return SplineMotion(start, points[:length], motion.pace)


def follow(chunk: ActionChunk, motion: SplineMotion, now: int, limits: Limits) -> SplineMotion:
    """Go over from a motion into the rows of a chunk that are still to come, and come to rest at the last one.

    chunk: columns = the joints of `limits`, rows within its position range. It is followed as fast
    as it says if the limits let, else slower along the same path. ValueError if no row is left or
    if that is not enough.
    """
    start, head = motion.head(now)
    if chunk.end <= start:
        raise ValueError(f"chunk is over: its last row was due {(now - chunk.end) / NS:.3f} s ago")
    most = _pace(chunk, start, limits)
    failed = most < SLOWEST
    paces = [float(pace) for pace in most.min() * PACES if pace >= SLOWEST]
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
    """The highest of the falling `paces` at which the chunk can be followed, its control points, and which joints can.

    By halving, for a chunk that can be followed can nearly always be followed slower: five trials
    instead of nine.
    """

    def attempt(place: int) -> tuple[np.ndarray, np.ndarray]:
        return _merge(head, _path(chunk, start, paces[place], limits), limits, merges)

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
    """How fast each joint can follow the rows to come at most, 1: as fast as the chunk says. float64 [N]."""
    rows = chunk.values[max(0, int(np.searchsorted(chunk.times(), start)) - 1) :].astype(np.float64)
    pace = np.ones(rows.shape[1])
    for order, most in enumerate(limits.rates(), start=1):
        rows = np.diff(rows, axis=0)
        if len(rows):
            share = np.abs(rows).max(axis=0) / (chunk.step / NS) ** order / most
            pace = np.minimum(pace, (0.95 / np.maximum(share, 1e-9)) ** (1 / order))
    return pace


def _path(chunk: ActionChunk, start: int, pace: float, limits: Limits) -> np.ndarray:
    """The chunk's own spline at the times of the control points after the first, [T, N], slowing down to its end."""
    rows = chunk.values.astype(np.float64)
    left = (chunk.end - start) / NS
    speed = pace * np.abs(np.diff(rows, axis=0)).max(axis=0, initial=0.0) / (chunk.step / NS)
    ramp = 1.25 * float(
        np.maximum(1.5 * speed / limits.acceleration, np.sqrt(6 * speed / limits.jerk)).max()
    )
    ramp = min(max(ramp, _H), 2 * left / pace)
    steady = (left - pace * ramp / 2) / pace
    # three at least: what `_merge` begins with
    time = np.arange(max(3, int(np.ceil((steady + ramp) / _H)) + 1)) * _H
    u = np.clip((time - steady) / ramp, 0, 1)
    done = pace * (np.minimum(time, steady) + ramp * (u - u**3 + u**4 / 2))
    place = np.minimum((start - chunk.start + done * NS) / chunk.step, len(rows) - 1)  # in rows
    span = np.floor(place).astype(int)
    # Straight on beyond both ends: the spline passes through the last row, and neither begins nor
    # slows down by itself.
    before = max(0, -int(span[0])) + 1
    first, last = (rows[0] - rows[1], rows[-1] - rows[-2]) if len(rows) > 1 else (0.0, 0.0)
    rows = np.vstack([rows[0] + first * np.arange(before, 0, -1)[:, None], rows, rows[-1:] + last])
    around = np.minimum(span[:, None] + before + np.arange(-1, 3), len(rows) - 1)
    return np.einsum("tk,tkn->tn", _powers(place - span) @ _VALUE, rows[around])


def _merge(
    head: np.ndarray, way: np.ndarray, limits: Limits, merges: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Control points from `head` onto `way` [T, N], which begins at the second of `head`, and which joints succeed.

    All joints go over in the same time if they can: with some on their way and others not, the hand
    is off its own.
    """
    gap = head[1:] - way[:3]
    way = np.vstack([head, way[3:], np.tile(way[-1], (merges[-1] + 3, 1))])
    steps, k = np.array(merges)[:, None, None], np.arange(1, merges[-1] + 1)[:, None]
    # The gap over the steps k to come: (steps - k)^3 (a + b k + c k^2), through what it is now. All
    # merges at once.
    old, mid, new = (gap[i] / (steps + 2.0 - i) ** 3 for i in range(3))
    fading = new + (3 * new - 4 * mid + old) / 2 * k + (new - 2 * mid + old) / 2 * (k * k)
    tried = np.repeat(way[None], len(merges), axis=0)
    tried[:, 4 : 4 + merges[-1]] += np.maximum(steps - k, 0) ** 3 * fading
    held = limits.hold_for(tried)
    shortest, found = held.argmax(axis=0), np.any(held, axis=0)
    if (together := held.all(axis=1)).any():
        shortest[:] = together.argmax()
    length = max(len(way) - merges[-1], merges[shortest.max()] + 7)
    return tried[shortest, :length, np.arange(len(shortest))].T, found
