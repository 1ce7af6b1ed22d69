# SPDX-License-Identifier: Apache-2.0
"""Which frames of cameras that are not synchronized belong together, and when to wait for a rest.

Pure; times are passed in, ns.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import statistics
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class FrameSet:
    """One frame of each camera."""

    oldest: int  # stamp
    spread: int  # between its oldest and its newest stamp
    distance: int  # between the oldest stamp and the joint states at hand
    stamps: tuple[int, ...]  # of the frame of each camera

    @property
    def merit(self) -> int:
        """The higher, the better: new, and of one moment; joints of another one weigh double."""
        return self.oldest - self.spread - 2 * self.distance


@dataclasses.dataclass(frozen=True, slots=True)
class Frames:
    """Stamps at hand: of each camera, rising, and how far (ns) joint states are from a moment."""

    cameras: Sequence[Sequence[int]]
    distance: Callable[[int], int]

    def best_set(self, after: int, max_skew: int) -> FrameSet | None:
        """The set of most merit whose oldest stamp is later than `after`; None if there is none.

        max_skew: the most that its parts may be apart.
        """
        best = None
        for oldest in sorted({stamp for stamps in self.cameras for stamp in stamps}, reverse=True):
            if oldest <= after or (best and oldest <= best.merit):
                break
            chosen = self._from(oldest)
            if chosen is None or (spread := max(chosen) - oldest) > max_skew:
                continue
            if best and oldest - spread <= best.merit:
                continue
            distance = self.distance(oldest)
            found = FrameSet(oldest, spread, distance, chosen)
            if distance <= max_skew and (best is None or found.merit > best.merit):
                best = found
        return best

    def closest(self) -> tuple[int, ...] | None:
        """The frames that are least apart, however far; None before there is one of each."""
        moments = {stamp for stamps in self.cameras for stamp in stamps}
        sets = [chosen for moment in moments if (chosen := self._from(moment))]
        return min(sets, key=lambda chosen: max(chosen) - min(chosen), default=None)

    def _from(self, oldest: int) -> tuple[int, ...] | None:
        """The first frame of each camera from this moment on."""
        chosen = []
        for stamps in self.cameras:
            at = bisect.bisect_left(stamps, oldest)
            if at == len(stamps):
                return None
            chosen.append(stamps[at])
        return tuple(chosen)


@dataclasses.dataclass(frozen=True, slots=True)
class Rhythm:
    """When the messages of a stream come; all ns."""

    stamp: int  # of the newest one
    period: int
    latency: int  # from stamp to reception, mostly
    lateness: int  # of the latest one, beyond `latency`

    @classmethod
    def of(cls, moments: Sequence[tuple[int, int]]) -> Rhythm | None:
        """From stamp and reception of the last messages; None with fewer than two."""
        if len(moments) < 2:
            return None
        stamps = [stamp for stamp, _ in moments]
        steps = [b - a for a, b in itertools.pairwise(stamps)]
        latencies = [received - stamp for stamp, received in moments]
        latency = statistics.median_low(latencies)
        period = max(1, statistics.median_low(steps))
        return cls(stamps[-1], period, latency, max(latencies) - latency)

    @property
    def patience(self) -> int:
        """How late a message may be and still be waited for.

        Half a period at least: given up too soon, what is inferred from is a whole period older.
        """
        return max(self.period // 2, min(self.lateness, self.period))

    def expected(self, now: int, count: int) -> list[tuple[int, int, int]]:
        """Of the next messages: stamp, reception, and until when to wait for it.

        What should have come longer than `patience` ago is lost.
        """
        overdue = now - self.patience - (self.stamp + self.latency)
        first = max(0, overdue) // self.period + 1
        stamps = [self.stamp + k * self.period for k in range(first, first + count)]
        return [
            (stamp, max(now, stamp + self.latency), stamp + self.latency + self.patience)
            for stamp in stamps
        ]


COMING = 2  # messages of a stream that are thought of when it is asked whether to wait
PAYS = 4  # what a set must gain by a wait, in newness and closeness, as a multiple of the wait


def wait_until(
    now: int,
    frames: Frames,
    found: FrameSet,
    cameras: Sequence[Rhythm | None],
    joints: Rhythm | None,
    after: int,
    max_skew: int,
) -> int:
    """Until when (ns) waiting for a better set than `found` pays; `now` if it does not.

    With 2 for PAYS what is inferred from would be as new as can be on average; more lets the robot
    think more often instead.
    """
    coming = [rhythm.expected(now, COMING) if rhythm else [] for rhythm in cameras]
    states = joints.expected(now, COMING) if joints else []
    moments = sorted({(at, last) for stream in (*coming, states) for _, at, last in stream})
    least, until = now - found.merit, now
    for at, last in moments:
        if PAYS * (at - now) >= least:  # no set is newer than the moment it is complete
            break
        then = Frames(
            [
                [*stamps, *(stamp for stamp, arrival, _ in stream if arrival <= at)]
                for stamps, stream in zip(frames.cameras, coming, strict=True)
            ],
            _distance(frames, [stamp for stamp, arrival, _ in states if arrival <= at]),
        )
        better = then.best_set(after, max_skew)
        if better and (cost := PAYS * (at - now) + now - better.merit) < least:
            least, until = cost, last
    return until


def _distance(frames: Frames, states: list[int]) -> Callable[[int], int]:
    """The distance to joint states once those of these stamps have come, too."""

    def distance(moment: int) -> int:
        found = frames.distance(moment)
        if found and states:
            found = min(found, *(abs(moment - stamp) for stamp in states))
            found = 0 if moment < states[-1] and found else found
        return found

    return distance
