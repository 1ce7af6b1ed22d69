# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of the tokens of an answer, and of the likeliest ones in their places."""

from __future__ import annotations

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that was chosen. logprob: natural logarithm of its probability.

    top: the likeliest tokens in its place with theirs, best first; it need not be among them.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class LogprobReader:
    """Reads scores before each token is chosen, and says how probable it was.

    Of the scores as the network gives them: temperature and penalties do not count, as in vLLM.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._shares: list[Tensor] = []

    def see(self, scores: Tensor) -> None:
        """Remember the scores of the next token: float32 [vocab], whose memory may be reused."""
        self._shares.append(scores.float().log_softmax(-1))

    def read(self, token: int) -> TokenLogprob:
        """What is to be said of the oldest token not yet read."""
        shares = self._shares.pop(0)
        best = shares.topk(min(self._top, len(shares)))
        top = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return TokenLogprob(token, float(shares[token]), tuple(top))
