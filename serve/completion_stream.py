# SPDX-License-Identifier: Apache-2.0
"""The answer to a question, as it is made: how long the prompt is, text, and how it ended.

No network, no threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..model.language.chat import Turn
from ..model.language.token_sampling import Sampling, pieces
from .chat_request import Question


class Talker(Protocol):
    """What `model.reasoner.Cosmos3Reasoner` offers a server."""

    tokenizer: Any
    sampling: Sampling
    max_tokens: int
    max_prompt: int

    def chat(self, turns: list[Turn]) -> Any:
        """What the text tower reads for a conversation; ValueError says what is wrong with it."""

    def tokens(
        self, prompt: Any, max_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """The tokens of the answer as they are decided."""


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is understood; so many tokens."""

    tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete; reason: "stop" or "length"."""

    reason: str
    tokens: int


class Stopper:
    """Lets text through up to the first of some words, and keeps back what may be the beginning of one."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words, self._kept, self.found = words, "", False

    def feed(self, text: str) -> str:
        """What of the text until now may go out."""
        text = self._kept + text
        if ends := [place for word in self._words if (place := text.find(word)) >= 0]:
            self.found, self._kept = True, ""
            return text[: min(ends)]
        longest = max(map(len, self._words), default=1) - 1
        starts = (place for place in range(max(0, len(text) - longest), len(text)))
        keep = next(
            (p for p in starts if any(word.startswith(text[p:]) for word in self._words)), len(text)
        )
        self._kept = text[keep:]
        return text[:keep]

    def rest(self) -> str:
        """What was kept back, when nothing more comes."""
        return self._kept


def answer(
    reasoner: Talker, question: Question, stopped: Callable[[], bool]
) -> Iterator[Begun | str | Ended]:
    """The answer, token by token, until `stopped`.

    ValueError if the conversation is not one that can be answered.
    """
    prompt = reasoner.chat(question.turns())
    yield Begun(len(prompt.ids))
    made = 0

    def tokens() -> Iterator[int]:
        nonlocal made
        for token in reasoner.tokens(prompt, question.max_tokens, question.sampling):
            if stopped():
                return
            made += 1
            yield token

    stopper = Stopper(question.stop)
    for piece in pieces(tokens(), reasoner.tokenizer):
        if text := stopper.feed(piece):
            yield text
        if stopper.found:
            yield Ended("stop", made)
            return
    if text := stopper.rest():
        yield text
    yield Ended("length" if made == question.max_tokens else "stop", made)
