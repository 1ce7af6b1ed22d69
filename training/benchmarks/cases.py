# SPDX-License-Identifier: Apache-2.0
"""What every benchmark's folder is read into: videos to make, or questions to answer."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ...model.generation.batch import Job


@dataclasses.dataclass(frozen=True, slots=True)
class VideoCase:
    """A video that a scorer expects.

    video: its file, below the folder that the scorer reads; frames: those of the result that are
    the scorer's, (first, count); None is the whole result as it is.
    """

    job: Job
    video: str
    frames: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        return self.job.name


@dataclasses.dataclass(frozen=True, slots=True)
class QuestionCase:
    """A question about a video or picture.

    choices: as they are shown below the question; options: the words or letters that may be
    answered, () for free text; answer: the right one, if it is known; group: what of the benchmark
    it belongs to, from the whole to its parts.
    """

    name: str
    media: Path
    question: str
    choices: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    group: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """What is asked."""
        return f"{self.question}\n{self.choices}" if self.choices else self.question


Case = TypeVar("Case", VideoCase, QuestionCase)


def choose(cases: Sequence[Case], only: str) -> list[Case]:
    """The cases that are called like the pattern; ValueError if none is, or a name stands twice."""
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"expected names that differ, {twice!r} stands twice")
    found = [case for case in cases if fnmatch.fnmatchcase(case.name, only)]
    if not found:
        raise ValueError(
            f"--only: expected a pattern of one of {len(cases)} names such as {names[0]!r}, "
            f"got {only!r}"
        )
    return found
