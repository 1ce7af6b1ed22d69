# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 imagine`: what the cameras would show if something were played."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import numpy as np

from .execution.candidates.candidate import Candidate
from .execution.candidates.candidate_file import read_candidate
from .model.option_fields import finite_float


def add_imagine(commands: argparse._SubParsersAction) -> None:
    """Add `imagine`."""
    parser = commands.add_parser(
        "imagine",
        help="have a running policy predict what is seen if a candidate is played; nothing moves",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--file",
        type=pathlib.Path,
        help="candidate: .csv or .parquet with a column `time` [s] and one per joint, or .json "
        "with names, positions and times or step",
    )
    source.add_argument(
        "--topic",
        default="",
        help="the next message of this topic: trajectory_msgs/JointTrajectory or "
        "cosmos3_ros/ActionChunk",
    )
    source.add_argument(
        "--joints",
        nargs="+",
        metavar="JOINT=POSITION",
        help="these joints there, the others stay where they are",
    )
    parser.add_argument(
        "--seconds",
        type=finite_float,
        default=0.0,
        help="with --joints: after so long (default: at the end of the clip)",
    )
    parser.add_argument(
        "--instruction", default="", help="what is being done (default: what the policy follows)"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("out/imagined.mp4"),
        help="video to write (default: out/imagined.mp4)",
    )
    parser.set_defaults(function=_imagine)


def target(words: Sequence[str], seconds: float = 0.0) -> Candidate:
    """The candidate that words like a=0.3 say; ValueError names the one that is none."""
    positions = {}
    for word in words:
        name, equals, number = word.partition("=")
        try:
            position = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"--joints: expected JOINT=POSITION, got {word!r}")
        if name in positions:
            raise ValueError(f"--joints: {name} is there twice")
        positions[name] = position
    return Candidate(tuple(positions), np.array([seconds]), np.array([[*positions.values()]]))


def _imagine(chosen: argparse.Namespace) -> int:
    if chosen.out.suffix != ".mp4":
        raise ValueError(f"--out: expected a file that ends in .mp4, got {str(chosen.out)!r}")
    if chosen.seconds and not chosen.joints:
        raise ValueError("--seconds: expected with --joints only, others say their own times")
    candidate = None
    if chosen.file:
        candidate = read_candidate(chosen.file)
    elif chosen.joints:
        candidate = target(chosen.joints, chosen.seconds)
    from .apps.imagine import imagine

    return imagine(candidate or chosen.topic, chosen.instruction, chosen.out)
