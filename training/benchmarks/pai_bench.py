# SPDX-License-Identifier: Apache-2.0
"""PAI-Bench: videos of its prompts (G), and multiple choice questions about videos (U).

Layout and names of G: github.com/SHI-Labs/physical-ai-bench, commit 387544d (2025-09-25),
predict/README.md and predict/evaluate.py; NVIDIA/cosmos, evaluation/cosmos3/generator/paibench_g.
Of U: reason/run.py of the former.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.generation.batch import Job
from ...model.generation.options import GenerateOptions
from ...model.media.lfs_pointer import check_pointer
from .cases import QuestionCase, VideoCase
from .layout import Prompts, below, first_file, read_rows, text

INFO = "cosmos_predict2_bench_full_info.json"
_USUAL = {"frames": 189, "fps": 24.0}
_LETTERS = "ABCDEFGHIJ"


def read_video_cases(
    data: Path, track: str, given: Mapping[str, Any], prompts: Prompts, seeds: int = 1
) -> list[VideoCase]:
    """The videos {video_id}__{seed}.mp4, for as many seeds, from `given`'s on.

    ValueError if the list of cases cannot be read; what is wrong with a case makes it fail.
    """
    if seeds < 1:
        raise ValueError(f"--seeds: expected at least 1, got {seeds}")
    file = first_file(data, INFO)
    cases = []
    for number, row in enumerate(read_rows(file)):
        where = f"{file}: entry {number}"
        name = text(row, where, "video_id")
        first = given.get("seed", 0)
        for seed in range(first, first + seeds):
            try:
                fields = prompts.of(name, text(row, where, "prompt_en", "prompt"))
                if track == "i2v":
                    image = text(row, where, "image_name")
                    fields["image"] = str(below(data / "condition_image", image, where))
                job = Job(
                    f"{name}__{seed}",
                    GenerateOptions(**{**_USUAL, **fields, **given, "seed": seed}),
                )
            except ValueError as error:
                job = Job(f"{name}__{seed}", None, str(error))
            cases.append(VideoCase(job, f"{name}__{seed}.mp4"))
    return cases


def read_question_cases(data: Path) -> list[QuestionCase]:
    """The questions of data/test-*.parquet, about the videos below the folder."""
    import pyarrow.parquet as pq
    from pyarrow import ArrowException

    files = sorted((data / "data").glob("test-*.parquet"))
    if not files:
        raise ValueError(f"{data}: expected data/test-*.parquet in it, got none")
    cases = []
    for file in files:
        check_pointer(file)
        try:
            rows = pq.read_table(file).to_pylist()
        except (ArrowException, OSError) as error:
            raise ValueError(f"{file}: expected parquet ({error})") from None
        cases += [_question(data, row, f"{file}: row {n}") for n, row in enumerate(rows)]
    return [QuestionCase(f"{number:05d}", *rest) for number, rest in enumerate(cases)]


def _question(data: Path, row: Mapping[str, Any], where: str) -> tuple[Any, ...]:
    """All of a case but its name; the choices are shown as the benchmark's own run.py does."""
    choices = row.get("index2ans")
    if not isinstance(choices, dict):
        raise ValueError(f"{where}: expected choices in index2ans, got {choices!r}")
    choices = {letter: choice for letter, choice in choices.items() if choice is not None}
    if not choices or not set(choices) <= set(_LETTERS):
        raise ValueError(f"{where}: expected letters in index2ans, got {', '.join(choices)}")
    shown = "\n".join(f"{letter}: {choices[letter]}" for letter in sorted(choices))
    return (
        below(data, text(row, where, "video_path"), where),
        text(row, where, "question"),
        shown,
        tuple(sorted(choices)),
        str(row.get("answer") or ""),
        (str(row.get("category") or ""), str(row.get("subcategory") or "")),
    )
