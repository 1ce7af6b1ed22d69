# SPDX-License-Identifier: Apache-2.0
"""Token sampling (greedy, top-k, top-p, with penalties) and streaming detokenization."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

COLDEST = 1e-5  # a lower temperature is as good as 0, and scores over it are not finite


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; penalties are applied first, at temperature 0 too."""

    # 0: the token of the highest score.
    temperature: float = 0.0
    # Sample among so many tokens of the highest scores; 0: among all.
    top_k: int = 0
    # Sample among the fewest tokens whose probabilities add up to this.
    top_p: float = 1.0
    # Divides (if positive, else multiplies) the scores of tokens in prompt or answer.
    repetition: float = 1.0
    # Is subtracted from the scores of tokens in the answer.
    presence: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            self.temperature < 0
            or self.top_k < 0
            or not 0 < self.top_p <= 1
            or self.repetition <= 0
        ):
            raise ValueError(
                f"expected temperature >= 0, top_k >= 0, 0 < top_p <= 1 and repetition > 0, "
                f"got {self}"
            )


GREEDY = Sampling()
NOT_FINITE = -1  # in the place of a token
# What NVIDIA recommends for answers without thinking, and for those with it.
DIRECT = Sampling(temperature=0.7, top_k=20, top_p=0.8, presence=1.5)
THINKING = Sampling(temperature=0.6, top_k=20, top_p=0.95)


class TokenPicker:
    """Chooses the tokens of one answer, and remembers them for the penalties."""

    def __init__(self, sampling: Sampling, prompt: Tensor, vocab: int):
        self.sampling = sampling
        self._answered = torch.zeros(vocab, dtype=torch.bool, device=prompt.device)
        self._seen = self._answered.clone()
        self._seen[prompt] = True
        self._sound = torch.ones((), dtype=torch.bool, device=prompt.device)
        self._generator = torch.Generator(prompt.device).manual_seed(sampling.seed)

    def __call__(self, scores: Tensor) -> Tensor:
        """The next token, int64 [1] where its scores [vocab] are; the host need not wait for it.

        Scores that are not finite give one that means nothing: see `said`.
        """
        self._sound = torch.isfinite(scores).all()
        scores = self.penalize(torch.where(self._sound, scores, 0))
        if self.sampling.temperature < COLDEST:
            token = scores.argmax(0, keepdim=True)
        else:
            odds = candidates(
                scores / self.sampling.temperature, self.sampling.top_k, self.sampling.top_p
            )
            token = torch.multinomial(odds.softmax(-1), 1, generator=self._generator)
        for said in (self._answered, self._seen):
            said.index_fill_(0, token, True)
        return token

    def said(self, token: Tensor) -> Tensor:
        """The token that was just chosen, -1 if its scores were not finite."""
        return torch.where(self._sound, token, NOT_FINITE)

    def penalize(self, scores: Tensor) -> Tensor:
        """The scores [vocab] after the penalties for tokens of prompt and answer."""
        if self.sampling.repetition != 1:
            lowered = torch.where(
                scores > 0, scores / self.sampling.repetition, scores * self.sampling.repetition
            )
            scores = torch.where(self._seen, lowered, scores)
        if self.sampling.presence != 0:
            scores = scores - self.sampling.presence * self._answered
        return scores


class TokenTransfer:
    """Asynchronous copy of a token (int64 [1]) to the host."""

    def __init__(self, token: Tensor):
        self._host, self._arrived = token, None
        if token.is_cuda:
            self._host = torch.empty(1, dtype=token.dtype, pin_memory=True).copy_(
                token, non_blocking=True
            )
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(token.device))

    def wait(self) -> int:
        """The token, once it has arrived; ValueError if its scores were not finite."""
        if self._arrived is not None:
            self._arrived.synchronize()
        if (token := int(self._host)) == NOT_FINITE:
            raise ValueError(
                "answer: the scores of the next token are not finite (NaN or infinite), expected "
                "numbers; the weights or their precision do not fit"
            )
        return token


def candidates(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Scores [vocab] with -inf outside the best `top_k` and, of these, the nucleus `top_p`."""
    if 0 < top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(top_k).values[-1], -torch.inf)
    if top_p < 1:
        best, order = scores.sort(descending=True)
        odds = best.softmax(-1)
        best = best.masked_fill(odds.cumsum(-1) - odds > top_p, -torch.inf)
        scores = torch.empty_like(scores).scatter_(-1, order, best)
    return scores


def pieces(tokens: Iterable[int], tokenizer: Any) -> Iterator[str]:
    """Text of `tokens` as it arrives; a character split over several tokens is held back whole."""
    seen: list[int] = []
    sent = 0
    for token in tokens:
        seen.append(token)
        text = tokenizer.decode(seen)
        if not text.endswith("\ufffd") and len(text) > sent:
            yield text[sent:]
            sent = len(text)
    if seen and len(text) > sent:
        yield text[sent:]
