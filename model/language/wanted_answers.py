# SPDX-License-Identifier: Apache-2.0
"""Yes-or-no questions about an imagined future, each with the answer that is wanted. No torch."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

_FORM = re.compile(r"(.*\S.*\?)(?:\s+(yes|no)\.?)?", re.IGNORECASE | re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class WantedAnswer:
    """A question, and whether its answer should be yes."""

    question: str
    yes: bool = True

    def about(self, instruction: str) -> str:
        """The question with the instruction where it says {instruction}."""
        return self.question.replace("{instruction}", instruction)

    def share(self, yes: float) -> float:
        """Probability of the wanted answer, for that of yes; 0.5 where it is not known."""
        return 0.5 if math.isnan(yes) else yes if self.yes else 1 - yes


def parse_wanted(texts: Sequence[str]) -> tuple[WantedAnswer, ...]:
    """Of texts like "Is the drawer open? no"; without an answer yes is wanted.

    ValueError shows the first that is no question.
    """
    return tuple(map(_parse, texts))


def _parse(text: str) -> WantedAnswer:
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"best_of_questions: expected a question, then yes or no if yes is not wanted, as "
            f"'Is the drawer open? no', got {text!r}"
        )
    return WantedAnswer(found[1], (found[2] or "yes").lower() == "yes")
