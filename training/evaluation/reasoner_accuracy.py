# SPDX-License-Identifier: Apache-2.0
"""How many questions about scenes it has not seen the reasoner answers rightly, kind by kind."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ...model.interface import Reasoner
from ..data.demonstrations import Demonstration
from ..data.parallel import in_parallel
from ..vqa.questions import STATE, Lesson, is_right
from ..vqa.samples import Scene, Watch, watch
from ..vqa.scene_state import ASKED
from .statistics import wilson


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """One question, what was said and how long that took, s."""

    lesson: Lesson
    said: str
    right: bool
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class _Exam:
    checkpoint: str
    watch: Watch


def reasoner_accuracy(
    checkpoint: str,
    seeds: Iterable[int],
    tasks: Sequence[str] = ASKED,
    looks: int = 2,
    workers: int = 0,
    tell: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """By kind of question, and for all state questions together ("state"): see `grade`.

    Asked are `looks` moments of a demonstration for each task and seed, about pictures as the
    reasoner node gets them.
    """
    exams = [
        _Exam(checkpoint, Watch(Demonstration(task, seed, scatter=0.3), looks))
        for seed in seeds
        for task in tasks
    ]
    marks: list[Mark] = []
    for number, some in enumerate(in_parallel(_take, exams, workers), 1):
        marks += some
        tell(
            f"{number}/{len(exams)}  {sum(mark.right for mark in some)} of {len(some)} answers right"
        )
    return grade(marks)


def answer(reasoner: Reasoner, scenes: Iterable[Scene]) -> list[Mark]:
    """Ask every question of the scenes."""
    marks = []
    for scene in scenes:
        for lesson in scene.lessons:
            began = time.perf_counter()
            said = reasoner.ask(
                lesson.question, [scene.pictures[view] for view in lesson.views], 64
            ).text
            marks.append(Mark(lesson, said, is_right(lesson, said), time.perf_counter() - began))
    return marks


def grade(marks: Sequence[Mark]) -> dict[str, dict[str, Any]]:
    """asked, right, rate and its 95 % interval low to high.

    balanced: the mean of the rates of each true answer, for
    answers that are the same words; seconds: of an answer, median. "state" is all of
    questions.STATE.
    """
    kinds: dict[str, list[Mark]] = defaultdict(list)
    for mark in marks:
        kinds[mark.lesson.kind].append(mark)
        if mark.lesson.kind in STATE:
            kinds["state"].append(mark)
    return {kind: _grade(some, kind in STATE) for kind, some in kinds.items()}


def _grade(marks: Sequence[Mark], words: bool) -> dict[str, Any]:
    right = sum(mark.right for mark in marks)
    low, high = wilson(right, len(marks))
    answers: dict[str, list[bool]] = defaultdict(list)
    for mark in marks:
        answers[mark.lesson.answer].append(mark.right)
    balanced = (
        statistics.fmean(statistics.fmean(some) for some in answers.values()) if words else None
    )
    seconds = statistics.median(mark.seconds for mark in marks)
    numbers = {
        "asked": len(marks),
        "right": right,
        "rate": right / len(marks),
        "low": low,
        "high": high,
    }
    return {**numbers, "balanced": balanced, "seconds": seconds}


def quiz_table(grades: dict[str, dict[str, Any]]) -> str:
    """The grades as text, one line per kind."""
    lines = [f"{'question':10}{'right':>11}  95 % interval   balanced  ms"]
    for kind, row in grades.items():
        balanced = "-" if row["balanced"] is None else f"{row['balanced']:.0%}"
        interval, right = f"{row['low']:.0%} to {row['high']:.0%}", f"{row['right']}/{row['asked']}"
        lines.append(
            f"{kind:10}{right:>11}  {interval:15} {balanced:>8} {1000 * row['seconds']:>4.0f}"
        )
    return "\n".join(lines)


def _take(exam: _Exam) -> list[Mark]:
    return answer(_reasoner(exam.checkpoint), watch(exam.watch))


@functools.cache
def _reasoner(checkpoint: str) -> Reasoner:
    import torch

    from ...model.reasoner import load_reasoner

    torch.set_num_threads(1)
    return load_reasoner(checkpoint)
