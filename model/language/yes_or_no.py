# SPDX-License-Identifier: Apache-2.0
"""How probable "yes" is as an answer, from the scores of its first token. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever asks a remote reasoner has none
    from torch import Tensor

SPELLINGS = (("Yes", "yes", "YES", " Yes", " yes"), ("No", "no", "NO", " No", " no"))
_WORD = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_TINY = 1e-7  # of a probability: what float32 scores can tell from 0 and 1
MOST = 0.5  # of the probability must be yes or no, for the question to be of that kind


class YesOrNo:
    """Reads scores of the first token of an answer.

    A spelling stands for its first token; one that begins a yes and a no counts for neither.
    temperature: see `with_temperature`.
    """

    def __init__(self, tokenizer: Any, temperature: float = 1.0) -> None:
        self._temperature = temperature
        yes, no = (
            {tokenizer(text, add_special_tokens=False).input_ids[0] for text in texts}
            for texts in SPELLINGS
        )
        self._yes, self._no = sorted(yes - no), sorted(no - yes)

    def probability(self, scores: Tensor) -> float:
        """Of yes against no, 0..1; NaN if neither is likely. scores: float32 [vocab]."""
        shares = scores.softmax(-1)
        yes = _of_yes(*(float(shares[tokens].sum()) for tokens in (self._yes, self._no)))
        return with_temperature(yes, self._temperature)


def says_yes(answer: str) -> bool | None:
    """Whether the first word of an answer is yes; None if it is neither yes nor no."""
    found = _WORD.match(answer)
    return None if found is None else found[1].lower() == "yes"


def probability_by_words(logprobs: Iterable[tuple[str, float]]) -> float:
    """Of yes against no, 0..1, from the likeliest first tokens as text with their log-probability.

    NaN if neither is likely. As an endpoint sends them, whose tokenizer nobody here knows: what a
    spelling of one begins with counts for it, if no spelling of the other does.
    """
    yes, no = 0.0, 0.0
    for word, logprob in logprobs:
        begins_yes, begins_no = (
            any(word and text.startswith(word) for text in texts) for texts in SPELLINGS
        )
        yes += math.exp(logprob) if begins_yes and not begins_no else 0.0
        no += math.exp(logprob) if begins_no and not begins_yes else 0.0
    return _of_yes(yes, no)


def with_temperature(yes: float, temperature: float) -> float:
    """The probability after its log odds are divided by `temperature` (> 0); NaN stays.

    Temperature scaling, arXiv 1706.04599: what is answered stays the same.
    """
    if math.isnan(yes) or temperature == 1:
        return yes
    share = min(max(yes, _TINY), 1 - _TINY)
    return 1 / (1 + math.exp(-math.log(share / (1 - share)) / temperature))


def _of_yes(yes: float, no: float) -> float:
    return yes / (yes + no) if yes + no > MOST else math.nan
