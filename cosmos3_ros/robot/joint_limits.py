# SPDX-License-Identifier: Apache-2.0
"""The limits in force where a robot's description and its robot file both have some: the tighter.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .urdf import JointLimit

_TIGHTER = {"lower": max, "upper": min, "velocity": min}
DESCRIBED = tuple(_TIGHTER)


def tighter(
    joints: Sequence[str],
    described: Sequence[JointLimit],
    own: Mapping[str, Sequence[float]],
    source: str,
) -> tuple[dict[str, list[float]], str]:
    """The limits of each joint by name (`DESCRIBED`), and in words which source they are from.

    own: those of the robot file, one value per joint or none; source: what `described` is from.
    ValueError if the two leave no range.
    """
    found, words = {}, []
    for name, choose in _TIGHTER.items():
        theirs, ours = [getattr(limit, name) for limit in described], list(own[name])
        found[name] = [choose(pair) for pair in zip(theirs, ours, strict=True)] if ours else theirs
        mine = [
            joint
            for joint, limit, other in zip(joints, found[name], theirs, strict=True)
            if limit != other
        ]
        words.append(f"{name} from {_source(mine, len(joints), source)}")
    for number, joint in enumerate(joints):
        if not found["lower"][number] < found["upper"][number]:
            limit = described[number]
            ends = [own[name][number] if own[name] else "no" for name in ("lower", "upper")]
            raise ValueError(
                f"limits of {joint!r} leave no range: {source} has {limit.lower} to {limit.upper}, "
                f"the parameters lower and upper have {ends[0]} and {ends[1]}"
            )
    return found, "; ".join(words)


def _source(tightened: Sequence[str], joints: int, source: str) -> str:
    """Where the values of one limit are from: of `tightened`, the robot file has the tighter."""
    if not tightened:
        return source
    if len(tightened) == joints:
        return "the parameter"
    return f"the parameter for {', '.join(tightened)}, {source} for the others"
