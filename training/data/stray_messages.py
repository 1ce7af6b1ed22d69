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
    away = stamps - np.interp(received, received[kept], stamps[kept])
    for other in np.unique(track[~kept]):
        which = np.flatnonzero(track == other)
        seconds = float(away[which[0]]) / NS
        few = len(which) <= max(1, RARE * len(stamps)) or abs(seconds) > FAR / NS
        if few and 2 * kept.sum() > len(stamps):
            continue
        if seconds < 0 and which[0] > np.flatnonzero(kept)[-1]:
            raise ValueError(f"go back by {-seconds:.1f} s: expected one clock in a bag")
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
) -> list[Stray]:
    """Messages with measured joints where no arm can have been for that moment.

    velocity: the limits of the joints [D], infinite: not checked; stamps: int64 [N], ns, rising;
    positions: float64 [N, D], NaN where a message does not have the joint. ValueError if the
    messages contradict each other all the time, as those of two publishers do.
    """
    found = []
    for joint, limit, column in zip(joints, velocity, positions.T, strict=True):
        known = np.flatnonzero(np.isfinite(column))
        if not np.isfinite(limit) or not len(known):
            continue
        which, words = _elsewhere(joint, limit, stamps[known], column[known])
        if len(which) > max(1, RARE * len(known)):
            raise ValueError(
                f"contradict each other: {words}; {len(which)} of {len(known)} measurements do "
                "(a second publisher?)"
            )
        if len(which):
            found.append(Stray(known[which], words))
    return found


def leaps(limit: float, stamps: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Where a joint is further from its last measurement than it can have moved: bool [N - 1]."""
    return abs(np.diff(positions)) > largest_change(limit, np.diff(stamps) / NS)


def _elsewhere(
    joint: str, limit: float, stamps: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, str]:
    """Measurements that are off the longest track for a moment, and the first of them in words."""

    def follows(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        most = largest_change(limit, (stamps[after] - stamps[before]) / NS)
        return abs(positions[after] - positions[before]) <= most

    begins, track = _tracks(len(stamps), follows)
    ends = np.append(begins[1:], len(stamps)) - 1
    number = np.arange(len(begins))
    main = np.bincount(track, weights=ends - begins + 1).argmax()
    # another track goes on behind a run, or nothing does
    last = np.full(track.max() + 1, -1)
    np.maximum.at(last, track, number)
    first = np.full(len(last), len(number))
    np.minimum.at(first, track, number)
    spans = np.zeros(len(number) + 1, int)
    np.add.at(spans, np.minimum(first + 1, last), 1)
    np.add.at(spans, last, -1)
    others = np.cumsum(spans)[:-1] - ((first[track] < number) & (number < last[track]))
    at_an_end = (number == 0) | (number == number[-1])
    brief = stamps[ends] - stamps[begins] <= BRIEF
    away = np.flatnonzero((track != main) & brief & ((others > 0) | at_an_end))
    if not len(away):
        return away, ""
    which = np.concatenate([np.arange(begins[run], ends[run] + 1) for run in away])
    here = max(which[0], 1)
    change, seconds = positions[here] - positions[here - 1], (stamps[here] - stamps[here - 1]) / NS
    words = contradiction([joint], np.array([change]), seconds, np.array([limit]))
    return which, words


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
