# SPDX-License-Identifier: Apache-2.0
"""Which messages of a recording contradict the others, by their stamps or by how joints move.

numpy only. Messages that follow each other as they can make a track; what is not on the longest
one is stray if it is rare, and else a reason to refuse the recording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from ...model.interface import NS
from ...robot.joint_plausibility import contradiction, largest_change

SLACK = NS  # what stamps of one clock may differ from the order and the times of reception
FAR = 3600 * NS  # stamps further apart than this are not of one recording
RARE = 0.1  # of the messages of a topic; more of them are no accident
BRIEF = NS // 4  # measurements that contradict for longer are another place of the arm (a reset)
ENOUGH = 10  # messages after a jump of the clock that make it more than an accident
_OPEN = 16  # tracks that are looked at for the next message

Follows = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, slots=True)
class Stray:
    """Messages to leave out, int [n], and why."""

    which: np.ndarray
    why: str


def stray_stamps(stamps: np.ndarray, received: np.ndarray) -> list[Stray]:
    """The stray ones of a topic's stamps, int64 [N] ns, in the order of reception (int64 [N] ns).

    0 is no stamp. The times of reception may be of another clock, of another speed. ValueError if
    the stamps are of more than one clock.
    """
    found = [Stray(np.flatnonzero(stamps == 0), "no stamp in the header")]
    known = np.flatnonzero(stamps)
    if len(known):
        found += _of_other_clocks(known, stamps[known], received[known])
    return [stray for stray in found if len(stray.which)]


def _of_other_clocks(known: np.ndarray, stamps: np.ndarray, received: np.ndarray) -> list[Stray]:
    def follows(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        later = stamps[after] - stamps[before]
        return (abs(later) <= SLACK) | (abs(later - (received[after] - received[before])) <= SLACK)

    begins, runs = _tracks(len(stamps), follows)
    track = np.repeat(runs, np.diff(begins, append=len(stamps)))
    kept = _one_clock(track, stamps)
    delays = stamps - received
    away = delays - np.interp(received, received[kept], delays[kept])
    for other in np.unique(track[~kept]):
        which = np.flatnonzero(track == other)
        seconds = float(away[which[0]]) / NS
        few = len(which) <= max(1, RARE * len(stamps)) or abs(seconds) > FAR / NS
        if few and 2 * kept.sum() > len(stamps):
            continue
        first, last = np.flatnonzero(kept)[[0, -1]]
        after = which[0] > last
        back = (
            float(stamps[last] - stamps[which[0]] if after else stamps[which[-1]] - stamps[first])
            / NS
        )
        if back > 0 and (after or which[-1] < first):
            raise ValueError(f"go back by {back:.1f} s: expected one clock in a bag")
        raise ValueError(
            f"are of two clocks: {len(which)} of {len(stamps)} are {_apart(seconds)} the others; "
            "expected one clock in a bag"
        )
    found = []
    for side in (away > 0, away <= 0):
        which = np.flatnonzero(~kept & side)
        if len(which):
            most = away[which][abs(away[which]).argmax()] / NS
            found.append(Stray(known[which], f"stamped {_apart(most)} the others"))
    return found


def _one_clock(track: np.ndarray, stamps: np.ndarray) -> np.ndarray:
    """The messages of the longest track, and of those that go on where it ends or lead up to it."""
    sizes = np.bincount(track)
    kept = track == sizes.argmax()
    names, firsts = np.unique(track, return_index=True)
    lasts = len(track) - 1 - np.unique(track[::-1], return_index=True)[1]
    order = np.argsort(firsts)
    ends = np.flatnonzero(kept)[[0, -1]]
    for which in (*order, *order[::-1]):
        first, last = firsts[which], lasts[which]
        step = 0
        if first > ends[1]:
            step, moved = stamps[first] - stamps[ends[1]], (ends[0], last)
        elif last < ends[0]:
            step, moved = stamps[ends[0]] - stamps[last], (first, ends[1])
        if sizes[names[which]] >= ENOUGH and 0 < step <= FAR:
            kept |= track == names[which]
            ends = np.array(moved)
    return kept


def stray_positions(
    joints: Sequence[str], velocity: np.ndarray, stamps: np.ndarray, positions: np.ndarray
) -> Stray:
    """Messages with measured joints where no arm can have been for that moment.

    velocity: the limits of the joints [D], infinite: not checked; stamps: int64 [N], ns, rising;
    positions: float64 [N, D], NaN where a message does not have the joint. ValueError if the
    messages contradict each other all the time, as those of two publishers do.
    """
    parts, why = [np.zeros(0, int)], ""
    for columns in _together(np.isfinite(positions) & np.isfinite(velocity)):
        known = np.flatnonzero(np.isfinite(positions[:, columns]).any(axis=1))
        moved = _Arm(stamps[known], positions[np.ix_(known, columns)], velocity[columns])
        away = _away(moved)
        if not len(away):
            continue
        # into the first of them; out of it if the recording begins there
        after = away[0] or np.setdiff1d(np.arange(len(away) + 1), away)[0]
        words = contradiction([joints[joint] for joint in columns], *moved.step(after - 1, after))
        if len(away) > max(1, RARE * len(known)):
            raise ValueError(
                f"contradict each other: {words}; {len(away)} of {len(known)} messages do "
                "(a second publisher?)"
            )
        parts.append(known[away])
        why = why or words
    return Stray(np.unique(np.concatenate(parts)), why)


@dataclasses.dataclass(frozen=True, slots=True)
class _Arm:
    """Joints that are measured together: stamps [N], positions [N, D] and their limits [D]."""

    stamps: np.ndarray
    positions: np.ndarray
    velocity: np.ndarray

    def follows(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Whether these messages [n] can come after those: bool [n]."""
        seconds = (self.stamps[after] - self.stamps[before]) / NS
        change = abs(self.positions[after] - self.positions[before])
        return ~(change > largest_change(self.velocity, seconds[:, None])).any(axis=1)

    def step(self, before: int, after: int) -> tuple[np.ndarray, float, np.ndarray]:
        """Change [D], seconds and limits [D] between two messages."""
        change = np.nan_to_num(self.positions[after] - self.positions[before])
        return change, (self.stamps[after] - self.stamps[before]) / NS, self.velocity


def _together(known: np.ndarray) -> list[np.ndarray]:
    """The joints (columns of bool [N, D]) in groups, so that each message is about one group."""
    groups: list[set[int]] = []
    for pattern in np.unique(known, axis=0):
        joined = set(np.flatnonzero(pattern).tolist())
        for group in [group for group in groups if group & joined]:
            groups.remove(group)
            joined |= group
        groups += [joined] if joined else []
    return [np.array(sorted(group)) for group in groups]


def leaps(limit: float, stamps: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Where a joint is further from its last measurement than it can have moved: bool [N - 1]."""
    return abs(np.diff(positions)) > largest_change(limit, np.diff(stamps) / NS)


def _away(arm: _Arm) -> np.ndarray:
    """Messages that are off a longer track for a moment: int [n]."""
    count = len(arm.stamps)
    begins, track = _tracks(count, arm.follows)
    ends = np.append(begins[1:], count) - 1
    number = np.arange(len(begins))
    sizes = np.bincount(track, weights=ends - begins + 1)
    rank = np.empty(len(sizes), int)  # 0: the longest track
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    first, last = np.full(len(sizes), len(number)), np.full(len(sizes), -1)
    np.minimum.at(first, track, number)
    np.maximum.at(last, track, number)
    best = np.full(len(number), len(sizes))  # rank of the longest track that goes on behind a run
    best[[0, -1]] = 0
    for other in np.flatnonzero(last > first + 1):
        between = slice(first[other] + 1, last[other])
        best[between] = np.minimum(best[between], rank[other])
    brief = arm.stamps[ends] - arm.stamps[begins] <= BRIEF
    away = brief & (rank[track] > best)
    return np.flatnonzero(np.repeat(away, ends - begins + 1))


def _tracks(count: int, follows: Follows) -> tuple[np.ndarray, np.ndarray]:
    """Where the runs of messages begin that follow each other, and the track of each run.

    A run belongs to the track that was extended last of those whose end it can follow.
    """
    at = np.arange(count)
    begins = np.append(0, np.flatnonzero(~follows(at[:-1], at[1:])) + 1)
    track = np.zeros(len(begins), int)
    newest: list[tuple[int, int]] = []  # track, its last message; the one extended last at the end
    made = 0
    for run, (begin, end) in enumerate(zip(begins, np.append(begins[1:], count) - 1, strict=True)):
        ends = np.array([last for _, last in newest[-_OPEN:]], int)
        fitting = np.flatnonzero(follows(ends, np.full(len(ends), begin)))
        if len(fitting):
            track[run], _ = newest.pop(fitting[-1] - len(ends))
        else:
            track[run], made = made, made + 1
        newest.append((int(track[run]), end))
    return begins, track


def _apart(seconds: float) -> str:
    return f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'}"
