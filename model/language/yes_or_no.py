# SPDX-License-Identifier: Apache-2.0
"""How probable "yes" is as an answer, from the scores of its first token."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

SPELLINGS = (("Yes", "yes", "YES", " Yes", " yes"), ("No", "no", "NO", " No", " no"))
MOST = 0.5  # of the probability must be yes or no, for the question to be of that kind


class YesOrNo:
    """Reads scores of the first token of an answer.

    A spelling stands for its first token; one that begins a yes and a no counts for neither.
    """

    def __init__(self, tokenizer: Any) -> None:
        yes, no = (
            {tokenizer(text, add_special_tokens=False).input_ids[0] for text in texts}
            for texts in SPELLINGS
        )
        self._yes, self._no = sorted(yes - no), sorted(no - yes)

    def probability(self, scores: Tensor) -> float:
        """Of yes against no, 0..1; NaN if neither is likely. scores: float32 [vocab]."""
        shares = torch.softmax(scores, -1)
        yes, no = (float(shares[tokens].sum()) for tokens in (self._yes, self._no))
        return yes / (yes + no) if yes + no > MOST else math.nan
