# SPDX-License-Identifier: Apache-2.0
"""The reasoner for OpenAI clients: /v1/chat/completions, /v1/models and /health over HTTP.

The event loop reads and writes; one thread runs the model, for one request at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from .chat_logprobs import TokenLogprob, write_logprobs
from .chat_request import ChatRequest, read_chat_request
from .completion_stream import ChatModel, CompletionStream, Finished, Piece
from .http.errors import Failure, describe, openai_error
from .http_server import HttpServer, RefusedError, read_json
from .job_queue import JobQueue


class OpenAiServer:
    """The routes of OpenAI's API, around one model.

    Args:
        model: Answers the requests.
        name: What clients call the model.
        token: Requests without it are refused, "": none is.
        waiting: Requests that may wait while one is answered; more are refused.
    """

    def __init__(self, model: ChatModel, name: str, token: str = "", waiting: int = 8) -> None:
        self._chat_model, self._name = model, name
        self._queue = JobQueue(waiting + 1)
        self._created = int(time.time())
        routes = [
            web.post("/v1/chat/completions", self._chat),
            web.get("/v1/models", self._models),
            web.get("/v1/models/{name:.+}", self._model),
        ]
        self._server = HttpServer(routes, token, reply_error, self._queue)

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Serve, see `run_app`."""
        await self._server.run(host, port, ready, ended)

    def _described(self) -> dict[str, Any]:
        described = {
            "id": self._name,
            "object": "model",
            "created": self._created,
            "owned_by": "cosmos3_ros",
        }
        return described | {
            "max_model_len": self._chat_model.max_prompt + self._chat_model.max_tokens
        }

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described()]})

    async def _model(self, request: web.Request) -> web.Response:
        self._check_name(request.match_info["name"])
        return web.json_response(self._described())

    def _check_name(self, name: Any) -> None:
        if name != self._name:
            shown = repr(name[:200]) if isinstance(name, str) else type(name).__name__
            got = "none" if name is None else shown
            reason = f"model: expected {self._name!r}, got {got}"
            raise RefusedError(404, reason, "model_not_found")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        self._check_name(body.get("model"))
        model = self._chat_model
        asked = read_chat_request(body, model.sampling, model.max_tokens)
        with self._begin(asked) as completion:
            decode = None if asked.logprobs is None else model.tokenizer.decode
            reply = Reply(self._name, await completion.started(), decode)
            if asked.stream:
                return await self._stream(request, reply, completion, asked.usage)
            events = [event async for event in completion.rest()]
        parts = [event for event in events if isinstance(event, Piece)]
        finished = next(event for event in events if isinstance(event, Finished))
        self._server.metrics.tokens(reply.prompt, finished.tokens)
        return web.json_response(reply.whole(parts, finished))

    @contextlib.contextmanager
    def _begin(self, asked: ChatRequest) -> Iterator[CompletionStream]:
        """Queue a request; however the block is left, the generation of its completion stops."""
        completion = CompletionStream()
        run = functools.partial(completion.run, self._chat_model, asked)
        job = asyncio.create_task(self._queue.run(completion, run))
        job.add_done_callback(completion.on_job_done)
        try:
            yield completion
        finally:
            completion.stopped.set()
            job.cancel()  # in case it has not begun

    async def _stream(
        self, request: web.Request, reply: Reply, completion: CompletionStream, usage: bool
    ) -> web.StreamResponse:
        """Server-sent events; an error, now that the status is sent, is one of them."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)

        async def send(event: dict[str, Any]) -> None:
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        await send(reply.piece({"role": "assistant", "content": ""}))
        try:
            async for part in completion.rest():
                if isinstance(part, Piece):
                    await send(reply.piece({"content": part.text}, logprobs=part.logprobs))
                else:
                    self._server.metrics.tokens(reply.prompt, part.tokens)
                    await send(reply.piece({}, part.reason))
                    if usage:
                        await send(reply.usage_piece(part))
        except Exception as error:
            await send(openai_error(describe(error)))
        await response.write(b"data: [DONE]\n\n")
        return response


def reply_error(failure: Failure) -> web.Response:
    """The reply to a request that failed."""
    return web.json_response(openai_error(failure), status=failure.status)


class Reply:
    """The JSON around an answer.

    prompt: its length in tokens; decode: the text of token ids, if their log-probabilities are
    asked for.
    """

    def __init__(
        self, model: str, prompt: int, decode: Callable[[Sequence[int]], str] | None = None
    ) -> None:
        self.prompt, self._decode = prompt, decode
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, parts: Sequence[Piece], finished: Finished) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": "".join(part.text for part in parts)}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs([one for part in parts for one in part.logprobs]),
            "finish_reason": finished.reason,
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage(finished),
        }

    def piece(
        self,
        delta: dict[str, Any],
        reason: str | None = None,
        logprobs: Sequence[TokenLogprob] | None = None,
    ) -> dict[str, Any]:
        """One event of a stream; logprobs: of its tokens, None if it has none."""
        told = None if logprobs is None else self._logprobs(logprobs)
        choice = {"index": 0, "delta": delta, "logprobs": told, "finish_reason": reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def _logprobs(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        return write_logprobs(tokens, self._decode) if self._decode else None

    def usage_piece(self, finished: Finished) -> dict[str, Any]:
        """The event with the counts, for those who ask for it."""
        return {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": self._usage(finished),
        }

    def _usage(self, finished: Finished) -> dict[str, int]:
        total = self.prompt + finished.tokens
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": finished.tokens,
            "total_tokens": total,
        }
