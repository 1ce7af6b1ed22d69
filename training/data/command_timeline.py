# SPDX-License-Identifier: Apache-2.0
"""What a robot was commanded at a moment, from the messages to its controllers. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from ...model.interface import NS
from ...robot import topic_names
from ...robot.joint_map import JointGroup, JointMap
from ...robot.topic_names import COMMANDS, command

MEASURED = "measured"  # no command: where the joints went
_SLACK = NS  # what a stamp may differ from the time of reception
_LONG = 10 * NS  # a trajectory may begin that much later, a chunk be of a picture that much earlier
_AHEAD = {topic_names.TRAJECTORY: _LONG}
_BEHIND = {topic_names.ACTION_CHUNK: _LONG}


@dataclasses.dataclass(frozen=True, slots=True)
class Motion:
    """The joint targets of one message, in effect from `begin` (ns) on.

    values: float64 [points, D] at `times` (ns); the last point is held; NaN: a joint that the
    message does not name. Without points: the set point of that moment is held.
    """

    source: str
    begin: int
    times: np.ndarray
    values: np.ndarray


def read_motion(
    joints: JointMap, source: str, received: int, message: Any, group: JointGroup
) -> Motion:
    """What a message of the topic `source` commands, one of COMMANDS of the joints in `group`.

    received: when it came, in the time of the stamps, ns. ValueError says what is wrong with it.
    """
    kind = command(source)
    begin = _stamp(kind, received, message)
    names, times, rows = _points(group, kind, message)
    full = np.full((len(rows), len(joints.joints)), np.nan)
    for row, values in zip(full, rows, strict=True):
        if len(values) != len(names) or not len(values):
            raise ValueError(f"{len(values)} positions for the joints {list(names)}")
        if not np.isfinite(values).all():
            raise ValueError(f"positions {[float(value) for value in values]} are not finite")
        known = dict(zip(names, values, strict=True))
        row[:] = [known.get(joint, np.nan) for joint in joints.joints]
    if len(rows) and np.isnan(full).all():
        raise ValueError(f"moves {list(names)}, expected some of {list(joints.joints)}")
    if (np.diff(times) <= 0).any():
        raise ValueError("the times of its points do not rise")
    # its first points may be over when it comes
    late = kind in (topic_names.TRAJECTORY, topic_names.ACTION_CHUNK)
    return Motion(
        source, max(begin, received) if late else begin, begin + times, joints.to_policy(full)
    )


def _stamp(source: str, received: int, message: Any) -> int:
    """The stamp of a command (ns): without one, or with 0, it holds from its reception on."""
    stamp = message.header.stamp if hasattr(message, "header") else None
    begin = stamp.sec * NS + stamp.nanosec if stamp else 0
    if not begin:
        return received
    if not -_BEHIND.get(source, _SLACK) <= begin - received <= _AHEAD.get(source, _SLACK):
        side = "ahead of" if begin > received else "behind"
        raise ValueError(f"stamped {abs(begin - received) / NS:.1f} s {side} its reception")
    return begin


def _points(
    group: JointGroup, source: str, message: Any
) -> tuple[Sequence[str], np.ndarray, Sequence[Any]]:
    """Names [n], times from the beginning (ns) [points] and positions [points][n] of a message."""
    once = np.zeros(1, np.int64)
    if source == topic_names.TRAJECTORY:
        after = [point.time_from_start for point in message.points]
        times = np.array([each.sec * NS + each.nanosec for each in after], np.int64)
        return message.joint_names, times, [point.positions for point in message.points]
    if source == topic_names.ACTION_CHUNK:
        rows, step = message.horizon, message.step.sec * NS + message.step.nanosec
        if not rows or len(message.values) != rows * len(message.joint_names):
            raise ValueError(
                f"{len(message.values)} values for {rows} rows of {list(message.joint_names)}"
            )
        values = np.reshape(message.values, (rows, -1))
        return message.joint_names, np.arange(1, rows + 1) * step, list(values)
    if source == topic_names.GRIPPER:
        return [group.gripper], once, [message.data[:1]]
    if source == topic_names.POSITIONS:
        return group.joints, once, [message.data]
    return message.name, once, [message.position]


def find_sources(motions: Sequence[Motion], width: int, only: str = "") -> list[str]:
    """For each joint the first topic of COMMANDS that commands it, by its name in this package.

    only: the one of them to look at, or "measured": none.
    """
    heard = {motion.source for motion in motions}
    order = [
        name
        for known in COMMANDS
        for name in sorted(heard)
        if command(name) == known and only in ("", known)
    ]
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
    measured: Callable[[int], np.ndarray] | None = None,
) -> np.ndarray:
    """The set points of the moments `at` (ns), float64 [len(at), joints].

    NaN before the first command of a joint.

    A message is in effect until the next one of its source; one that comes at such a moment is too
    late for it. held: joints that jump from point to point instead of moving; measured: where the
    joints were at a moment (ns) [joints], for a command to hold that no other one came before.
    """
    result = np.full((len(at), len(sources)), np.nan)
    for source in set(sources) - {MEASURED}:
        columns = [joint for joint, name in enumerate(sources) if name == source]
        own = [motion for motion in motions if motion.source == source]
        if own:
            result[:, columns] = _played(own, at, np.asarray(held), measured)[:, columns]
    return result


def _played(
    motions: Sequence[Motion],
    at: np.ndarray,
    held: np.ndarray,
    measured: Callable[[int], np.ndarray] | None,
) -> np.ndarray:
    start = np.full(len(held), np.nan)
    starts = []
    for motion, following in zip_longest(motions, motions[1:]):
        if measured and not len(motion.values):
            start = np.where(np.isnan(start), measured(motion.begin), start)
        starts.append(start)
        if following:
            start = _set_point(motion, start, following.begin, held)
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
