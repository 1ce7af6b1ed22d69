# SPDX-License-Identifier: Apache-2.0
"""RBench: videos of robots, from a picture each, in a folder for each of nine categories.

Layout and names: github.com/DAGroup-PKU/ReVidgen, commit b03df27 (2026-06-01), README.md, scripts/
and eval/ (a video is called by four digits, the place of its prompt in the list, from 1 on); the
data set's folders by NVIDIA/cosmos, evaluation/cosmos3/generator/rbench.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...model.generation.batch import Job
from ...model.generation.options import GenerateOptions
from .cases import VideoCase
from .layout import PICTURES, Prompts, below, read_rows, text

_USUAL = {"frames": 121, "fps": 24.0}
_ENDING = "_prompts"


def read_cases(data: Path, given: Mapping[str, Any], prompts: Prompts) -> list[VideoCase]:
    """The videos {category}/videos/{number}.mp4 of the prompts in prompts/{category}_prompts.json.

    ValueError if no list of prompts can be read; what is wrong with a case makes it fail.
    """
    files = sorted((data / "prompts").glob("*.json"))
    if not files:
        raise ValueError(f"{data}: expected prompts/CATEGORY_prompts.json in it, got none")
    cases = []
    for file in files:
        category = file.stem.removesuffix(_ENDING)
        for place, row in enumerate(read_rows(file), 1):
            number = f"{place:04d}"
            name = f"{category}_{number}"
            try:
                where = f"{file}: entry {number}"
                fields = prompts.of(name, text(row, where, "prompt"))
                fields["image"] = str(_picture(data / "imgs", category, number, row, where))
                job = Job(name, GenerateOptions(**{**_USUAL, **fields, **given}))
            except ValueError as error:
                job = Job(name, None, str(error))
            cases.append(VideoCase(job, f"{category}/videos/{number}.mp4"))
    return cases


def _picture(folder: Path, category: str, number: str, row: Mapping[str, Any], where: str) -> Path:
    """The picture that the row names, else that of its number in the category's folder."""
    if "image_path" in row:
        return below(folder, text(row, where, "image_path"), where)
    names = {number, str(row.get("name") or number)}
    for name in sorted(names):
        for ending in PICTURES:
            if (file := below(folder, f"{category}/{name}{ending}", where)).is_file():
                return file
    raise ValueError(f"{where}: expected {folder / category / number}.jpg or image_path, got none")
