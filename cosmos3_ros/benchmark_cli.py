# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 benchmark`: a public benchmark's folder in, what its scorer reads out."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .generate_cli import RUNTIME, add_request_options, checkpoint_and_place, given_request
from .judge_cli import add_remote_options, asked_reasoner
from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments
from .serve.cli import add_reasoner_options

if TYPE_CHECKING:
    from .training.benchmarks.cases import QuestionCase, VideoCase

# Fields of a request that are the user's in every benchmark; the others are the benchmark's.
_REQUEST = (
    "tier",
    "aspect",
    "height",
    "width",
    "steps",
    "guidance",
    "shift",
    "seed",
    "negative",
    "upsample",
    "reference",
)


def add_benchmark(commands: argparse._SubParsersAction) -> None:
    """Add `benchmark`."""
    parser = commands.add_parser(
        "benchmark", help="make what the scorer of a public benchmark reads; see docs/benchmarks.md"
    )
    names = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _add_videos(
        names,
        "physics-iq",
        "videos after a switch frame",
        _physics_iq,
        ("i2v", "v2v"),
        {"fps": "24"},
    )
    pai = _add_videos(
        names,
        "pai-bench-g",
        "videos of PAI-Bench's prompts",
        _pai_bench_g,
        ("i2v", "t2v"),
        {"frames": "189", "fps": "24"},
    )
    pai.add_argument(
        "--seeds", type=int, default=1, help="videos for each prompt, seeds one up (default: 1)"
    )
    _add_videos(
        names,
        "rbench",
        "videos of robots, from a picture each",
        _rbench,
        (),
        {"frames": "121", "fps": "24"},
    )
    _add_questions(names, "pai-bench-u", "PAI-Bench's questions about videos", _pai_bench_u, 32)
    tar = _add_questions(names, "tar", "questions about traffic anomalies", _tar, 512)
    tar.add_argument(
        "--items", type=pathlib.Path, help="list of questions (default: test/test.json of the data)"
    )
    tar.add_argument(
        "--media", type=pathlib.Path, help="folder of the videos (default: videos of the data)"
    )


def _add(names: argparse._SubParsersAction, name: str, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = names.add_parser(name, help=about)
    parser.add_argument("data", type=pathlib.Path, help="folder of the benchmark, as downloaded")
    out = pathlib.Path("out") / name
    parser.add_argument(
        "--out", type=pathlib.Path, default=out, help=f"folder of the results (default: {out})"
    )
    parser.add_argument(
        "--only", default="*", help="a pattern with * and ? of the cases' names (default: all)"
    )
    return parser


def _add_videos(
    names: argparse._SubParsersAction,
    name: str,
    about: str,
    read: Callable[[argparse.Namespace, Mapping[str, Any]], list[VideoCase]],
    tracks: Sequence[str],
    usual: Mapping[str, str],
) -> argparse.ArgumentParser:
    parser = _add(names, name, about)
    if tracks:
        parser.add_argument(
            "--track", choices=tracks, default=tracks[0], help=f"(default: {tracks[0]})"
        )
    parser.add_argument(
        "--prompts",
        type=pathlib.Path,
        help="JSON file, or folder of them, with prompts by name as NVIDIA publishes them for its "
        "results (default: the benchmark's own)",
    )
    add_request_options(parser, (*_REQUEST, *usual), usual)
    add_arguments(parser, PolicyModelParams, RUNTIME)
    parser.set_defaults(function=_make_videos, read=read)
    return parser


def _add_questions(
    names: argparse._SubParsersAction,
    name: str,
    about: str,
    answer: Callable[[argparse.Namespace], int],
    max_tokens: int,
) -> argparse.ArgumentParser:
    parser = _add(names, name, about)
    parser.add_argument("--append", default="", help="after every question (default: nothing)")
    add_remote_options(parser)
    add_reasoner_options(parser, max_tokens=max_tokens, compiled=False)
    parser.set_defaults(function=answer, show="video", fps=10.0)
    return parser


def _physics_iq(chosen: argparse.Namespace, given: Mapping[str, Any]) -> list[VideoCase]:
    from .training.benchmarks.layout import Prompts
    from .training.benchmarks.physics_iq import read_cases

    return read_cases(chosen.data, chosen.track, given, Prompts(chosen.prompts))


def _pai_bench_g(chosen: argparse.Namespace, given: Mapping[str, Any]) -> list[VideoCase]:
    from .training.benchmarks.layout import Prompts
    from .training.benchmarks.pai_bench import read_video_cases

    prompts = Prompts(chosen.prompts)
    return read_video_cases(chosen.data, chosen.track, given, prompts, chosen.seeds)


def _rbench(chosen: argparse.Namespace, given: Mapping[str, Any]) -> list[VideoCase]:
    from .training.benchmarks.layout import Prompts
    from .training.benchmarks.rbench import read_cases

    return read_cases(chosen.data, given, Prompts(chosen.prompts))


def _make_videos(chosen: argparse.Namespace) -> int:
    from .training.benchmarks.cases import choose
    from .training.benchmarks.produce import produce

    given = given_request(chosen)
    if given.get("frames") == 1:
        raise ValueError("--frames: expected the length of a video, got 1")
    cases = choose(chosen.read(chosen, given), chosen.only)
    produced = produce(*checkpoint_and_place(chosen), cases, chosen.out)
    print(produced.text())
    return int(produced.found < produced.expected)


def _pai_bench_u(chosen: argparse.Namespace) -> int:
    from .training.benchmarks.answer import write_pai_bench
    from .training.benchmarks.pai_bench import read_question_cases

    return _answer(chosen, read_question_cases(chosen.data), write_pai_bench)


def _tar(chosen: argparse.Namespace) -> int:
    from .training.benchmarks.answer import write_tar
    from .training.benchmarks.tar import read_cases

    return _answer(chosen, read_cases(chosen.data, chosen.items, chosen.media), write_tar)


def _answer(
    chosen: argparse.Namespace,
    all_cases: Sequence[QuestionCase],
    write: Callable[[Sequence[QuestionCase], Mapping[str, str], pathlib.Path], pathlib.Path],
) -> int:
    from .training.benchmarks.answer import accuracy, answer_all
    from .training.benchmarks.cases import choose

    if chosen.timeout <= 0:
        raise ValueError(f"--timeout: expected a positive number, got {chosen.timeout}")
    cases = choose(all_cases, chosen.only)
    with asked_reasoner(chosen) as (reasoner, manner):
        said, left_out = answer_all(reasoner, manner, cases, chosen.out)
    file = write(cases, said, chosen.out)
    right, known = accuracy(cases, said)
    score = f"; {right} of {known} choices right" if known else ""
    print(f"{file}: {len(said)} of {len(cases)} questions answered{score}")
    for name, why in left_out.items():
        print(f"error: {name} is left out: {why}", file=sys.stderr)
    return int(bool(left_out))
