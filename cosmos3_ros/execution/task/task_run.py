# SPDX-License-Identifier: Apache-2.0
"""One goal from its beginning to its end: what is to be done now, and how it ended.

Pure; times are passed in, ns on a clock that nobody sets.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from ...model.interface import NS
from .judgement import Judgement


class Outcome(enum.Enum):
    """How a task ended; the values are those of ExecuteTask.action."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIME_LIMIT = "time_limit"
    CANCELED = "canceled"
    PREEMPTED = "preempted"
    STOPPED = "stopped"
    STALE_INPUT = "stale_input"
    SURPRISE = "surprise"
    REJECTED = "rejected"


class Phase(enum.Enum):
    """What happens now; the values are those of ExecuteTask.action."""

    PLANNING = "planning"
    WAITING = "waiting"
    ACTING = "acting"
    JUDGING = "judging"


@dataclasses.dataclass(frozen=True, slots=True)
class TaskRules:
    """Settings of a task."""

    limit: int  # ns after which it ends
    judge_every: int = 2 * NS  # ns between two questions; 0: nothing is judged
    confirmations: int = 2  # so many answers "yes" in a row, of different pictures, are a yes
    patience: int = 5 * NS  # ns without a chunk that is played
    certainty: float = 0.5  # a "yes" whose probability is known and less is none


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How a task ended, and why, in words."""

    outcome: Outcome
    message: str = ""


class TaskRun:
    """A goal that is being executed.

    The owner tells it what happens, asks `due` whether the reasoner is to be asked, and `end`
    whether it is over. steps: the instructions, one after the other.
    """

    def __init__(self, instruction: str, rules: TaskRules, now: int, plan: bool = False) -> None:
        self.rules, self.began = rules, now
        self.steps: tuple[str, ...] = (instruction,)
        self.done = 0  # steps that were judged to be done
        self.judgement: Judgement | None = None  # the last one
        self.chunk, self.latency = 0, 0.0  # of the newest chunk of this step
        self._plans, self._asks = plan, False
        self._asked_at = self._progress_at = now
        self._agreed = 0  # answers "yes" in a row
        self._end: End | None = None
        self._last_question = False  # asked because the time was over

    @property
    def instruction(self) -> str:
        """The step that is followed now."""
        return self.steps[min(self.done, len(self.steps) - 1)]

    @property
    def is_planning(self) -> bool:
        """Whether the steps are not known yet: nothing is to be followed."""
        return self._plans

    @property
    def phase(self) -> Phase:
        """What happens now."""
        if self._plans:
            return Phase.PLANNING
        if self._asks:
            return Phase.JUDGING
        return Phase.ACTING if self.chunk else Phase.WAITING

    def planned(self, steps: Sequence[str], now: int) -> None:
        """The reasoner has said which steps it takes."""
        self.steps, self._plans = tuple(steps), False
        self._begin_step(now)

    def replace(self, instruction: str, now: int) -> None:
        """Somebody wants something else from now on; time goes on counting."""
        if not instruction:
            self.finish(Outcome.CANCELED, "somebody sent an empty instruction")
            return
        self.steps, self.done, self._plans = (instruction,), 0, False
        self.judgement = None
        self._begin_step(now)

    def played(self, number: int, latency: float, now: int) -> None:
        """The commander plays a chunk of this step."""
        self.chunk, self.latency, self._progress_at = number, latency, now

    def due(self, now: int) -> bool:
        """Whether the reasoner is to be asked now whether the step is done."""
        if self._plans or self._asks or self._end or not self.rules.judge_every:
            return False
        if self._is_over(now):
            return not self._last_question
        return bool(self.chunk) and now - self._asked_at >= self.rules.judge_every

    def ask(self, now: int) -> None:
        """The reasoner is being asked."""
        self._asks, self._asked_at = True, now
        self._last_question = self._is_over(now)

    def judged(self, judgement: Judgement, about: str, now: int) -> None:
        """The reasoner has answered; about: the step that it was asked about."""
        self._asks = False
        if about != self.instruction or not judgement.stamp:
            return  # another step by now, or no answer
        again = self.judgement is not None and judgement.stamp == self.judgement.stamp
        self.judgement = judgement
        if not judgement.is_yes or judgement.yes < self.rules.certainty:
            self._agreed = 0
            return
        self._agreed += not again
        if self._agreed < self.rules.confirmations and not self._last_question:
            return
        self.done += 1
        if self.done == len(self.steps):
            self.finish(Outcome.SUCCEEDED, "judged to be done")
        else:
            self._begin_step(now)

    def finish(self, outcome: Outcome, message: str = "") -> None:
        """End it, unless it has ended."""
        self._end = self._end or End(outcome, message)

    def end(self, now: int, armed: bool, reason: str) -> End | None:
        """How the task has ended; None while it goes on.

        armed, reason: of the commander, as it said last.
        """
        if self._end is None and not armed:
            self.finish(Outcome.STOPPED, f"the arm is not armed: {reason}")
        if self._end is None and self._is_over(now) and not self._awaits_judgement():
            said = self.judgement is not None and self.judgement.is_yes is False
            seconds = f"after {self.rules.limit / NS:.1f} s"
            self.finish(
                Outcome.FAILED if said else Outcome.TIME_LIMIT,
                f"judged not to be done {seconds}" if said else f"the time was over {seconds}",
            )
        waited = now - self._progress_at
        if self._end is None and not self._plans and waited > self.rules.patience:
            words = f"no chunk was played for {waited / NS:.1f} s: {reason or 'none came'}"
            self.finish(Outcome.STALE_INPUT, words)
        return self._end

    def _is_over(self, now: int) -> bool:
        return now - self.began >= self.rules.limit

    def _awaits_judgement(self) -> bool:
        """Whether the last question is yet to be asked or answered."""
        if self._plans or not self.rules.judge_every or not self.chunk:
            return False
        return self._asks or not self._last_question

    def _begin_step(self, now: int) -> None:
        self.chunk, self.latency, self._agreed = 0, 0.0, 0
        self._asked_at = self._progress_at = now
        self._last_question = False
