# SPDX-License-Identifier: Apache-2.0
"""The parameters of the task server."""

from __future__ import annotations

import dataclasses

from ...execution.task.judgement import PLAN, QUESTION
from ...execution.task.task_run import TaskRules
from ...model.interface import NS
from ...model.option_fields import check, param
from ...ros.lifecycle import LifecycleParams


@dataclasses.dataclass(frozen=True)
class Params(LifecycleParams):
    """Parameters of the task server."""

    time_limit: float = param(60.0, "of a task that names none [s]", live=True)
    question: str = param(
        QUESTION,
        "asked whether a step is done; {instruction} in it is replaced",
        live=True,
    )
    judge_period: float = param(
        2.0, "between two such questions; 0: none is asked, tasks end by time [s]", live=True
    )
    confirmations: int = param(
        2, "so many answers 'yes' in a row, of different pictures, are a yes", minimum=1, live=True
    )
    certainty: float = param(
        0.5, "a 'yes' whose probability is known and less than this is none", live=True
    )
    plan_question: str = param(
        PLAN, "asked for the steps; {instruction} in it is replaced", live=True
    )
    patience: float = param(
        5.0, "a task ends without a chunk that is played for so long [s]", live=True
    )
    answer_timeout: float = param(
        20.0, "a question that is not answered for so long counts as not asked [s]", live=True
    )
    preempt: bool = param(
        True, "a newer goal ends the one before; false: it is rejected while one runs", live=True
    )
    views: list[str] = param([], "views that questions are about; empty: all", live=True)
    max_tokens: int = param(64, "of an answer", minimum=1, live=True)

    def __post_init__(self) -> None:
        check(self)
        for name in ("time_limit", "patience", "answer_timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected a positive number, got {getattr(self, name)}"
                )
        if self.judge_period < 0:
            raise ValueError(
                f"parameter 'judge_period': expected 0 or more, got {self.judge_period}"
            )
        if not 0 <= self.certainty <= 1:
            raise ValueError(f"parameter 'certainty': expected 0 to 1, got {self.certainty}")
        for name in ("question", "plan_question"):
            if not getattr(self, name).strip():
                raise ValueError(f"parameter {name!r}: expected a question, got an empty one")

    def rules(self, time_limit: float) -> TaskRules:
        """The settings of a task; time_limit: of its goal, s, 0 for the parameter."""
        return TaskRules(
            round((time_limit or self.time_limit) * NS),
            round(self.judge_period * NS),
            self.confirmations,
            round(self.patience * NS),
            self.certainty,
        )
