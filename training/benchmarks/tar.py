# SPDX-License-Identifier: Apache-2.0
"""TAR, traffic anomaly reasoning: questions of ten kinds about clips of traffic cameras.

Layout: huggingface.co/datasets/nvidia/PhysicalAI-Traffic-Anomaly-Reasoning, README.md and
test/evaluate.py; a list of items with item_index (of the test), task_type, video_id and question.
"""

from __future__ import annotations

from pathlib import Path

from .cases import QuestionCase
from .layout import below, first_file, read_rows, text

ITEMS = ("test/test.json", "test.json")
_YES_NO, _CHOICES = ("Yes", "No"), ("A", "B", "C", "D")


def read_cases(
    data: Path, items: Path | None = None, media: Path | None = None
) -> list[QuestionCase]:
    """The questions of a list of items, by default that of the test.

    media: folder that `video_id` is below, by default `videos` of the data.
    """
    file = items or first_file(data, *ITEMS)
    videos = media or data / "videos"
    cases = []
    for number, row in enumerate(read_rows(file)):
        where = f"{file}: item {number}"
        kind = str(row.get("task_type") or "")
        options = _YES_NO if kind == "bcq" else _CHOICES if kind == "mcq" else ()
        cases.append(
            QuestionCase(
                text(row, where, "item_index") if "item_index" in row else f"{number:06d}",
                below(videos, text(row, where, "video_id"), where),
                text(row, where, "question"),
                options=options,
                answer=str(row.get("answer") or ""),
                group=(kind,),
            )
        )
    return cases
