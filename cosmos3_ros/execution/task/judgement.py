# SPDX-License-Identifier: Apache-2.0
"""What an answer of the reasoner says: yes or no, or the steps of a plan."""

from __future__ import annotations

import dataclasses
import math
import re

from ...model.language.yes_or_no import says_yes

PLACE = "{instruction}"
QUESTION = f'Is this done: "{PLACE}"? Answer yes or no.'
PLAN = (
    f'The robot is asked: "{PLACE}". Which steps does it take, in order? Answer with a numbered '
    "list of short instructions; a single step is enough where one instruction can be followed "
    "at once."
)
_STEP = re.compile(r"^\s*\d+\s*[.):]\s*(\S.*?)\s*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Judgement:
    """What the reasoner said to a yes-or-no question.

    stamp: capture time of the oldest picture it was about, ns; 0 if there was no answer. yes: the
    probability of yes; NaN if nobody knows.
    """

    question: str
    answer: str
    stamp: int
    yes: float = math.nan

    @property
    def is_yes(self) -> bool | None:
        """None if it is neither yes nor no."""
        return says_yes(self.answer)


def question_about(instruction: str, template: str = QUESTION) -> str:
    """The question with the instruction in its place, which need not be in it."""
    return template.replace(PLACE, instruction)


def steps_of(answer: str, instruction: str) -> tuple[str, ...]:
    """The steps of a plan; the instruction itself if the answer is no numbered list."""
    return tuple(found.rstrip(".") for found in _STEP.findall(answer)) or (instruction,)
