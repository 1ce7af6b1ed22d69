# SPDX-License-Identifier: Apache-2.0
"""The reasoner for OpenAI clients: /v1/chat/completions, /v1/models and /health over HTTP.

The event loop reads and writes; one thread thinks, about one question at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

from .auth import allows
from .chat_request import BadRequestError, Question, read_question
from .completion_stream import Begun, Ended, Talker, answer
from .job_queue import BusyError, Turns

MAX_BODY = 64 << 20
UPLOAD = 60.0  # seconds a client has to send its request
LOG = logging.getLogger("cosmos3_ros.serve")


class RefusedError(Exception):
    """An answer that is an error: HTTP status, OpenAI's code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def error_body(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def describe(error: Exception) -> tuple[int, dict[str, Any]]:
    """HTTP status and body for an error.

    What was not meant for a client goes to the log instead.
    """
    if isinstance(error, RefusedError):
        return error.status, error_body(error.status, str(error), error.code)
    if isinstance(error, BusyError):
        return 503, error_body(503, f"{error}; try again later", "overloaded")
    if isinstance(error, ValueError):
        return 400, error_body(400, str(error), None, getattr(error, "param", None))
    # of torch, of CUDA: the server goes on
    LOG.error("a question was not answered", exc_info=error)
    return 500, error_body(
        500, "the answer could not be made; the server's log says why", "internal_error"
    )


class Generation:
    """One answer while a thread makes it, seen from the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self.stopped = threading.Event()

    def run(self, reasoner: Talker, question: Question) -> None:
        """In the thread: make the answer, unless nobody waits for it any more."""
        for event in (
            () if self.stopped.is_set() else answer(reasoner, question, self.stopped.is_set)
        ):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def ended(self, job: asyncio.Task[None]) -> None:
        """The thread has done its job; an exception is for whoever waits."""
        if not job.cancelled() and (error := job.exception()):
            self._events.put_nowait(error)

    async def begun(self) -> int:
        """Wait until the prompt is understood; its tokens."""
        event = await self._next()
        assert isinstance(event, Begun)
        return event.tokens

    async def rest(self) -> AsyncIterator[str | Ended]:
        """What comes after that; the last is Ended."""
        while True:
            event = await self._next()
            yield event
            if isinstance(event, Ended):
                return

    async def _next(self) -> Any:
        event = await self._events.get()
        if isinstance(event, Exception):
            raise event
        return event


class ReasonerServer:
    """The routes, around one reasoner.

    name: what clients call the model; token: whoever does not send it is refused, "" lets everybody
    in; waiting: questions that may wait while one is being answered, more are refused.
    """

    def __init__(self, reasoner: Talker, name: str, token: str = "", waiting: int = 8) -> None:
        self._reasoner, self._name, self._token = reasoner, name, token
        self._turns = Turns(waiting + 1)
        self._created = int(time.time())
        self._app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard])
        self._app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.get("/v1/models/{name:.+}", self._model),
                web.get("/health", self._health),
            ]
        )

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Listen (port 0: any), call `ready` with the port, serve until `ended`.

        OSError if the port is not free.
        """
        # A client that goes away ends its request.
        runner = web.AppRunner(
            self._app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            ready(runner.addresses[0][1])
            await ended.wait()
            # A timer comes after the sockets: whom asyncio has accepted by then has a transport,
            # which is closed below. Without one he would wait for ever: nobody closes his socket
            # (python/cpython#109564).
            await asyncio.sleep(0.001)
        finally:
            await runner.cleanup()
            self._turns.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Who may come in, and every error in OpenAI's shape."""
        try:
            if request.path != "/health" and not allows(
                self._token, request.headers.get("Authorization")
            ):
                raise RefusedError(401, "invalid_api_key", "the API key is missing or wrong")
            if "Origin" in request.headers:
                raise RefusedError(403, "web_page", "web pages may not use this server")
            return await handler(request)
        except web.HTTPException as error:
            return web.json_response(
                error_body(error.status, error.text or error.reason), status=error.status
            )
        except Exception as error:
            status, body = describe(error)
            return web.json_response(body, status=status)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    def _described(self) -> dict[str, Any]:
        described = {
            "id": self._name,
            "object": "model",
            "created": self._created,
            "owned_by": "cosmos3_ros",
        }
        return described | {"max_model_len": self._reasoner.max_prompt + self._reasoner.max_tokens}

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described()]})

    async def _model(self, request: web.Request) -> web.Response:
        self._check_name(request.match_info["name"])
        return web.json_response(self._described())

    def _check_name(self, name: Any) -> None:
        if name != self._name:
            raise RefusedError(
                404, "model_not_found", f"model: expected {self._name!r}, got {str(name)[:200]!r}"
            )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        if isinstance(body, dict):
            self._check_name(body.get("model"))
        question = read_question(body, self._reasoner.sampling, self._reasoner.max_tokens)
        with self._begin(question) as generation:
            prompt = await generation.begun()
            reply = Reply(self._name, prompt)
            if question.stream:
                return await self._stream(request, reply, generation, question.usage)
            parts = [part async for part in generation.rest()]
        return web.json_response(
            reply.whole("".join(part for part in parts if isinstance(part, str)), parts[-1])
        )

    async def _read(self, request: web.Request) -> Any:
        try:
            async with asyncio.timeout(UPLOAD):
                return json.loads(await request.read())
        except TimeoutError:
            raise RefusedError(
                408, "timeout", f"the request did not arrive within {UPLOAD:.0f} s"
            ) from None
        except (ValueError, RecursionError) as error:
            raise BadRequestError(f"expected JSON: {error}") from None

    @contextlib.contextmanager
    def _begin(self, question: Question) -> Iterator[Generation]:
        """Put a question in the line.

        However the block is left, nothing more is made of its answer.
        """
        generation = Generation()
        make = functools.partial(generation.run, self._reasoner, question)
        job = asyncio.create_task(self._turns.run(generation, make))
        job.add_done_callback(generation.ended)
        try:
            yield generation
        finally:
            generation.stopped.set()
            job.cancel()  # in case it has not begun

    async def _stream(
        self, request: web.Request, reply: Reply, generation: Generation, usage: bool
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
            async for part in generation.rest():
                if isinstance(part, str):
                    await send(reply.piece({"content": part}))
                else:
                    await send(reply.piece({}, part.reason))
                    if usage:
                        await send(reply.usage_piece(part))
        except Exception as error:
            await send(describe(error)[1])
        await response.write(b"data: [DONE]\n\n")
        return response


class Reply:
    """The JSON around an answer."""

    def __init__(self, model: str, prompt: int) -> None:
        self._prompt = prompt
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, text: str, ended: Any) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": ended.reason}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage(ended),
        }

    def piece(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

    def usage_piece(self, ended: Ended) -> dict[str, Any]:
        """The event with the counts, for those who ask for it."""
        return {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": self._usage(ended),
        }

    def _usage(self, ended: Ended) -> dict[str, int]:
        total = self._prompt + ended.tokens
        return {
            "prompt_tokens": self._prompt,
            "completion_tokens": ended.tokens,
            "total_tokens": total,
        }
