# SPDX-License-Identifier: Apache-2.0
"""A completion as it is generated: length of the prompt, pieces of text, reason of the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol

from ..model.language.chat import Turn
from ..model.language.token_sampling import Sampling, pieces
from .chat_logprobs import TokenLogprob
from .chat_request import ChatRequest
from .http.errors import BadRequestError


class ChatModel(Protocol):
    """What a server needs of `model.reasoner.Cosmos3Reasoner`."""

    tokenizer: Any
    sampling: Sampling
    max_tokens: int
    max_prompt: int

    def chat(self, turns: list[Turn]) -> Any:
        """The prompt of a conversation; ValueError says what is wrong with the conversation."""

    def tokens(
        self, prompt: Any, max_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """The tokens of the answer, each as soon as it is sampled."""

    def scored_tokens(
        self, prompt: Any, max_tokens: int, sampling: Sampling | None = None, top: int = 0
    ) -> Iterator[TokenLogprob]:
        """Like `tokens`, each with its log-probability and those of the `top` likeliest."""


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Text that can be sent, and what is known of the tokens that were decided since the last."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """The prompt is tokenized. tokens: its length."""

    tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Finished:
    """The completion is complete. reason: "stop" or "length"; tokens: number of generated ones."""

    reason: str
    tokens: int


class StopWords:
    """Passes text on up to the first stop word, and holds back what may be the beginning of one."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words, self._held, self.found = words, "", False

    def feed(self, text: str) -> str:
        """The part of the text so far that can be sent now."""
        text = self._held + text
        if ends := [index for word in self._words if (index := text.find(word)) >= 0]:
            self.found, self._held = True, ""
            return text[: min(ends)]
        longest = max(map(len, self._words), default=1) - 1
        starts = range(max(0, len(text) - longest), len(text))
        held = (i for i in starts if any(word.startswith(text[i:]) for word in self._words))
        end = next(held, len(text))
        self._held = text[end:]
        return text[:end]

    def rest(self) -> str:
        """The text that was held back, for when the model has ended."""
        return self._held


def generate_completion(
    model: ChatModel, request: ChatRequest, stopped: Callable[[], bool]
) -> Iterator[Started | Piece | Finished]:
    """The events of a completion, token by token, until `stopped`.

    BadRequestError if the model cannot answer the conversation.
    """
    prompt = _prompt(model, request)
    yield Started(len(prompt.ids))
    count, waiting = 0, list[TokenLogprob]()

    def tokens() -> Iterator[int]:
        nonlocal count
        for token in _decided(model, prompt, request, waiting):
            if stopped():
                return
            count += 1
            yield token

    def told(text: str) -> Piece:
        piece = Piece(text, tuple(waiting))
        waiting.clear()
        return piece

    stop_words = StopWords(request.stop)
    for words in pieces(tokens(), model.tokenizer):
        if text := stop_words.feed(words):
            yield told(text)
        if stop_words.found:
            yield Finished("stop", count)
            return
    if (text := stop_words.rest()) or waiting:
        yield told(text)
    yield Finished("length" if count == request.max_tokens else "stop", count)


def _prompt(model: ChatModel, request: ChatRequest) -> Any:
    """What the model reads; whatever is wrong with the conversation is the client's to know."""
    try:
        return model.chat(request.turns())
    except ValueError as error:
        raise BadRequestError(str(error), "messages") from error


def _decided(
    model: ChatModel, prompt: Any, request: ChatRequest, scored: list[TokenLogprob]
) -> Iterator[int]:
    """The tokens as the model decides them; what the request asks of each goes to `scored`."""
    if request.logprobs is None:
        yield from model.tokens(prompt, request.max_tokens, request.sampling)
        return
    for one in model.scored_tokens(prompt, request.max_tokens, request.sampling, request.logprobs):
        scored.append(one)
        yield one.token


class CompletionStream:
    """One completion that a thread generates, as a stream of events in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self.stopped = threading.Event()

    def run(self, model: ChatModel, request: ChatRequest) -> None:
        """In the thread: generate the completion, unless it is stopped already."""
        if self.stopped.is_set():
            return
        for event in generate_completion(model, request, self.stopped.is_set):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def on_job_done(self, job: asyncio.Task[None]) -> None:
        """Pass the exception of the job, if it raised one, to the reader of the stream."""
        if not job.cancelled() and (error := job.exception()):
            self._events.put_nowait(error)

    async def started(self) -> int:
        """Wait for the prompt; its length in tokens."""
        event = await self._next()
        assert isinstance(event, Started)
        return event.tokens

    async def rest(self) -> AsyncIterator[Piece | Finished]:
        """The events after that: pieces, then Finished."""
        while True:
            event = await self._next()
            yield event
            if isinstance(event, Finished):
                return

    async def _next(self) -> Any:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event
