# SPDX-License-Identifier: Apache-2.0
"""From scores to tokens and from tokens to text: greedy and sampled choice with penalties, and text that streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    temperature 0: the best one; top_k 0: among all; top_p: among the fewest that reach this
    probability together; repetition: divides (if positive, else multiplies) the score of what
    prompt or answer has; presence: is taken off the score of what the answer has. Penalties come
    first and count for temperature 0 too.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition: float = 1.0
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
                f"expected temperature >= 0, top_k >= 0, 0 < top_p <= 1 and repetition > 0, got {self}"
            )


GREEDY = Sampling()
# NVIDIA's advice for answers without thought
DIRECT = Sampling(temperature=0.7, top_k=20, top_p=0.8, presence=1.5)
THINKING = Sampling(temperature=0.6, top_k=20, top_p=0.95)  # and with


class TokenPicker:
    """Chooses the tokens of one answer, and remembers which there were."""

    def __init__(self, sampling: Sampling, prompt: Tensor, vocab: int):
        self.sampling = sampling
        self._answered = torch.zeros(vocab, dtype=torch.bool, device=prompt.device)
        self._seen = self._answered.clone()
        self._seen[prompt] = True
        self._generator = torch.Generator(prompt.device).manual_seed(sampling.seed)

    def __call__(self, scores: Tensor) -> Tensor:
        """The next token, int64 [1] where its scores [vocab] are; the host need not wait for it."""
        scores = self._penalized(scores)
        if self.sampling.temperature == 0:
            token = scores.argmax(0, keepdim=True)
        else:
            odds = candidates(
                scores / self.sampling.temperature, self.sampling.top_k, self.sampling.top_p
            )
            token = torch.multinomial(odds.softmax(-1), 1, generator=self._generator)
        for said in (self._answered, self._seen):
            said.index_fill_(0, token, True)
        return token

    def _penalized(self, scores: Tensor) -> Tensor:
        if self.sampling.repetition != 1:
            lowered = torch.where(
                scores > 0, scores / self.sampling.repetition, scores * self.sampling.repetition
            )
            scores = torch.where(self._seen, lowered, scores)
        if self.sampling.presence != 0:
            scores = scores - self.sampling.presence * self._answered
        return scores


class Coming:
    """A token on its way to the host, whatever the device does after it."""

    def __init__(self, token: Tensor):
        self._host, self._there = token, None
        if token.is_cuda:
            self._host = torch.empty(1, dtype=token.dtype, pin_memory=True).copy_(
                token, non_blocking=True
            )
            self._there = torch.cuda.Event()
            self._there.record(torch.cuda.current_stream(token.device))

    def number(self) -> int:
        """The token, once it is there."""
        if self._there is not None:
            self._there.synchronize()
        return int(self._host)


def candidates(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Scores [vocab] with -inf for all but the best `top_k`, and of these for all beyond the probability `top_p`."""
    if 0 < top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(top_k).values[-1], -torch.inf)
    if top_p < 1:
        best, order = scores.sort(descending=True)
        odds = best.softmax(-1)
        best = best.masked_fill(odds.cumsum(-1) - odds > top_p, -torch.inf)
        scores = torch.empty_like(scores).scatter_(-1, order, best)
    return scores


def pieces(tokens: Iterable[int], tokenizer: Any) -> Iterator[str]:
    """The text of `tokens`, as soon as it is certain: a character whose bytes are split over tokens comes whole."""
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
