# SPDX-License-Identifier: Apache-2.0
"""What a robot was commanded at a moment, from the messages to its controllers. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ...robot.topic_names import COMMANDS
from .rosbag_reader import Motion

MEASURED = "measured"  # no command: where the joints went


def find_sources(motions: Sequence[Motion], width: int, only: str = "") -> list[str]:
    """For each joint the first topic of COMMANDS that commands it, by its name in this package.

    only: the one topic to look at, or "measured": none.
    """
    order = [name for name in COMMANDS if only in ("", name)]
    named = {name: np.zeros(width, bool) for name in order}
    for motion in motions:
        if motion.source in named:
            named[motion.source] |= np.isfinite(motion.values).any(axis=0)
    return [
        next((name for name in order if named[name][joint]), MEASURED) for joint in range(width)
    ]


def commanded(
    motions: Sequence[Motion],
    sources: Sequence[str],
    at: np.ndarray,
    held: Sequence[bool] | np.ndarray,
) -> np.ndarray:
    """The set points of the moments `at` (ns), float64 [len(at), joints].

    NaN before the first command of a joint.

    A message is in effect until the next one of its source; one that comes at such a moment is too
    late for it. held: joints that jump from point to point instead of moving.
    """
    result = np.full((len(at), len(sources)), np.nan)
    for source in set(sources) - {MEASURED}:
        columns = [joint for joint, name in enumerate(sources) if name == source]
        own = [motion for motion in motions if motion.source == source]
        if own:
            result[:, columns] = _played(own, at, np.asarray(held))[:, columns]
    return result


def _played(motions: Sequence[Motion], at: np.ndarray, held: np.ndarray) -> np.ndarray:
    start = np.full(len(held), np.nan)
    starts = [start]
    for motion, following in pairwise(motions):
        start = _set_point(motion, start, following.begin, held)
        starts.append(start)
    newest = np.searchsorted([motion.begin for motion in motions], at, side="left") - 1
    nothing = np.full(len(held), np.nan)
    return np.stack(
        [
            nothing if which < 0 else _set_point(motions[which], starts[which], moment, held)
            for which, moment in zip(newest, at, strict=True)
        ]
    )


def _set_point(motion: Motion, start: np.ndarray, at: int, held: np.ndarray) -> np.ndarray:
    """What a motion that took over at `start` says at a moment.

    It leaves the joints alone that it does not name.
    """
    passed = int(np.searchsorted(motion.times, at, side="right"))
    before = motion.values[passed - 1] if passed else start
    since = motion.times[passed - 1] if passed else motion.begin
    if passed < len(motion.times):
        share = (at - since) / (motion.times[passed] - since)
        moved = before + share * (motion.values[passed] - before)
        before = np.where(held, before, moved)
    unnamed = np.isnan(motion.values).all(axis=0)
    return np.where(unnamed, start, before)
