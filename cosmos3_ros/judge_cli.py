# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 judge`: yes-or-no questions about clips, put to a reasoner."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .model.option_fields import finite_float
from .serve.cli import add_reasoner_options, reasoner_params

if TYPE_CHECKING:
    from .model.interface import Reasoner
    from .training.judge.judgement import Manner


def add_judge(commands: argparse._SubParsersAction) -> None:
    """Add `judge`."""
    parser = commands.add_parser(
        "judge", help="yes-or-no questions about the clips of a folder, without ROS; a page"
    )
    parser.add_argument(
        "folder",
        type=pathlib.Path,
        help="of clips: video files, and folders of frames or of a clip's views",
    )
    parser.add_argument(
        "--questions",
        type=pathlib.Path,
        required=True,
        help="JSON Lines, or a .json file of Cosmos HUE; see docs/judging.md",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("out/judge"),
        help="folder for answers.jsonl, judge.json and judge.md; a second call asks what is not "
        "answered yet (default: out/judge)",
    )
    parser.add_argument(
        "--show",
        choices=("video", "last"),
        default="video",
        help="of each view: two frames a second, or its last picture (default: video)",
    )
    parser.add_argument(
        "--fps", type=finite_float, default=10.0, help="of frames that are files (default: 10)"
    )
    parser.add_argument(
        "--append", default="", help='after every question: "Answer yes or no." (default: nothing)'
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="fit a temperature to the labeled answers and write it into --checkpoint",
    )
    add_remote_options(parser)
    add_reasoner_options(parser, max_tokens=8, compiled=False)
    parser.set_defaults(function=_judge)


def add_remote_options(parser: argparse.ArgumentParser) -> None:
    """Where a reasoner is that is asked in place of a checkpoint."""
    remote = parser.add_argument_group("a reasoner elsewhere, in place of a checkpoint")
    remote.add_argument(
        "--url", default="", help="OpenAI-compatible endpoint: http(s)://HOST:PORT/v1"
    )
    remote.add_argument(
        "--model", default="", help="its name there (default: the first one offered)"
    )
    remote.add_argument(
        "--token-file", type=pathlib.Path, help="file with the endpoint's token in its first line"
    )
    remote.add_argument(
        "--timeout", type=finite_float, default=60.0, help="s for an answer (default: 60)"
    )


def _judge(chosen: argparse.Namespace) -> int:
    from .training.judge.clip_folder import find_clips
    from .training.judge.judge_page import text_table
    from .training.judge.question_file import pairs, read_questions
    from .training.judge.report import report

    for name in ("fps", "timeout"):
        if (value := getattr(chosen, name)) <= 0:
            raise ValueError(f"--{name}: expected a positive number, got {value}")
    if chosen.calibrate and (chosen.url or not chosen.checkpoint):
        raise ValueError("--calibrate: expected --checkpoint, into which it writes, and no --url")
    clips, questions = find_clips(chosen.folder), read_questions(chosen.questions)
    names = [clip.name for clip in clips]
    asked = pairs(questions, names)
    if unused := sum(not any(map(question.concerns, names)) for question in questions):
        print(f"{unused} questions are left out: their clips are not in {chosen.folder}")
    with asked_reasoner(chosen) as (reasoner, manner):
        content = report(reasoner, manner, asked, clips, chosen.out)
    print(text_table(content))
    print(f"wrote {chosen.out / 'judge.md'} and {chosen.out / 'judge.json'}")
    if chosen.calibrate:
        print(_calibrate(chosen.checkpoint, content["temperature"]))
    return _complain(content["left_out"])


def _complain(left_out: Mapping[str, str]) -> int:
    """Say on stderr which clips could not be read; the exit code."""
    for clip, why in left_out.items():
        print(f"error: {clip} is left out: {why}", file=sys.stderr)
    return 1 if left_out else 0


def _calibrate(checkpoint: str, fitted: float | None) -> str:
    """Write a fitted temperature into a checkpoint, whose own the answers have already."""
    from .model.checkpoint_io.foreign import checkpoint_path
    from .model.checkpoint_io.yes_temperature import write_yes_temperature, yes_temperature
    from .training.evaluation.calibration import LEAST, MOST

    if fitted is None:
        raise ValueError("--calibrate: expected labeled answers with a probability, got none")
    if not 1.1 * LEAST < fitted < MOST / 1.1:
        raise ValueError(
            "--calibrate: expected answers of which most are right and some wrong, got such that "
            f"fix no temperature ({fitted:.2f})"
        )
    folder = checkpoint_path(checkpoint)
    before = yes_temperature(folder)
    after = round(before * fitted, 3)
    write_yes_temperature(folder, after)
    return f"{folder}: yes_temperature {after:g}, it was {before:g}"


def _name(checkpoint: str) -> str:
    """A checkpoint and how it is calibrated; answers of another calibration are others."""
    from .model.checkpoint_io.foreign import checkpoint_path
    from .model.checkpoint_io.trained_tasks import EMBEDDED
    from .model.checkpoint_io.yes_temperature import yes_temperature

    folder = checkpoint_path(checkpoint or EMBEDDED)
    name = checkpoint or "the embedded checkpoint"
    return f"{name} at temperature {yes_temperature(folder):g}"


@contextlib.contextmanager
def asked_reasoner(chosen: argparse.Namespace) -> Iterator[tuple[Reasoner, Manner]]:
    """Who is asked, and how: by the options of `judge` that concern the reasoner."""
    from .training.judge.judgement import Manner

    manner = Manner(
        chosen.url or _name(chosen.checkpoint),
        chosen.show == "last",
        chosen.fps,
        chosen.append,
        chosen.max_tokens,
        chosen.video_pruning_rate,
    )
    if chosen.url:
        from .serve.auth import read_token
        from .serve.clients.reasoner_client import RemoteReasoner

        if chosen.video_pruning_rate:
            raise ValueError("--video-pruning-rate: expected 0 with --url, the endpoint prunes")
        token = read_token(chosen.token_file) if chosen.token_file else ""
        named = f"{chosen.url} {chosen.model}".strip()
        remote = RemoteReasoner(chosen.url, chosen.model, token, chosen.timeout)
        yield remote, dataclasses.replace(manner, by=named)
        return
    from .model.registry import Models

    models = Models(policy=False)
    try:
        yield models.reasoner(reasoner_params(chosen, compiled=False)), manner
    finally:
        models.close()
