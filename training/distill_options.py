# SPDX-License-Identifier: Apache-2.0
"""Options of the training of few-step students. Imports no torch."""

from __future__ import annotations

import dataclasses

from .options import PolicyTrainingOptions, bounded


@dataclasses.dataclass(frozen=True, slots=True)
class DistillOptions(PolicyTrainingOptions):
    """Training of a student that takes a few fixed steps, with guidance inside.

    The teacher is the recipe's `start`.
    """

    # Noise levels of the student's steps, the first one 1, falling; the default has those of
    # NVIDIA's four-step students, evenly spaced ones at shift 5. (1.0,): one step.
    levels: tuple[float, ...] = (1.0, 0.9375, 0.83333, 0.625)
    guidance: float = 3.0  # of the teacher; 1: none
    negative: str = ""  # what the teacher is guided away from; empty: the empty caption
    substeps: int = 4  # steps of the teacher in one of the student's
    shift: float = 5.0  # of the teacher's noise levels between the student's
    # Steps that the teacher takes before the student's own guess takes over, as in consistency
    # training; `substeps` or more: the teacher goes all the way.
    ahead: int = 4
    rollout: float = 0.25  # share of batches where the student's own steps led to the sample
    text: bool = False
    rate: float = bounded(2e-4, 0)

    def __post_init__(self) -> None:
        levels = self.levels
        numbers = all(type(level) in (int, float) for level in levels)
        if not (
            levels
            and numbers
            and levels[0] == 1
            and levels[-1] > 0
            and list(levels) == sorted({*levels}, reverse=True)
        ):
            raise ValueError(
                "distill.levels: expected numbers that fall from 1, each above 0, got "
                f"{list(levels)}"
            )
        for name in ("substeps", "ahead", "batch", "accumulate", "refresh"):
            if getattr(self, name) < 1:
                raise ValueError(f"distill.{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 <= self.rollout <= 1:
            raise ValueError(f"distill.rollout: expected a share from 0 to 1, got {self.rollout}")
        if not self.shift > 0:
            raise ValueError(f"distill.shift: expected more than 0, got {self.shift}")
        if self.text or self.compile:
            raise ValueError(
                "distill: expected text false and no compile, teacher and student read prompts by "
                f"one text tower, got {self.text} and {self.compile!r}"
            )
