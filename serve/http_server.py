# SPDX-License-Identifier: Apache-2.0
"""The front that all HTTP servers share: who may ask, health, metrics, errors, life cycle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from aiohttp import web

from .http.access import Access
from .http.errors import CONNECTIONS, BadRequestError, Failure, RefusedError, describe
from .http.metrics import CONTENT_TYPE
from .job_queue import JobQueue

__all__ = ["MAX_BODY", "HttpServer", "RefusedError", "read_json", "run_app"]

MAX_BODY = 64 << 20  # bytes of a request
UPLOAD = 60.0  # seconds that a client has to send its request
CODINGS = ("identity", "gzip", "deflate", "br", "zstd")  # of bodies, as far as aiohttp has them
SHUTDOWN = 1.0  # seconds that a handler may go on after the end of the server
ALIVE, READY = ("/health", "/healthz"), "/readyz"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """One server: its own routes, and those that all have (`/health`, `/readyz`, `/metrics`).

    Args:
        routes: What the server answers; a client that goes away cancels the handler.
        token: Requests without it are refused, "": none is.
        reply_error: The reply to a request that was not answered.
        queue: The jobs of the handlers.
        load: What has to be done before the server is ready, while clients may connect already.
        public: Paths that need no token, besides those of health.
    """

    def __init__(
        self,
        routes: Iterable[web.RouteDef],
        token: str,
        reply_error: Callable[[Failure], web.Response],
        queue: JobQueue,
        load: Callable[[], Awaitable[None]] | None = None,
        public: Collection[str] = (),
    ) -> None:
        self.metrics = queue.metrics
        self._token, self._reply_error, self._queue, self._load = token, reply_error, queue, load
        self._public = {*ALIVE, READY, *public}
        self._access, self._ready = Access(token, "localhost"), False
        self._app = web.Application(client_max_size=MAX_BODY, middlewares=[self._make_guard()])
        self._app.add_routes(
            [
                *(web.get(path, self._alive) for path in ALIVE),
                web.get(READY, self._readiness),
                web.get("/metrics", self._measurements),
                *routes,
            ]
        )

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Load and serve, see `run_app`."""
        self._access = Access(self._token, host)

        def is_ready(number: int) -> None:
            self._ready = True
            ready(number)

        await run_app(self._app, (host, port), is_ready, ended, self._queue, self._load)

    def _make_guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            began, resource = time.perf_counter(), request.match_info.route.resource
            route = resource.canonical if resource else "other"
            try:
                response = await self._answer(request, handler)
            except ConnectionResetError:  # nobody is there to be told
                raise
            except Exception as error:
                response = self._reply_error(describe(error))
            self.metrics.request(route, response.status, time.perf_counter() - began)
            return response

        return guard

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._access.check(request.headers, request.path in self._public)
        if not self._ready and self._load and request.path not in self._public:
            raise RefusedError(503, "loading", "loading")
        if (request.content_length or 0) > MAX_BODY:  # before it is sent
            raise RefusedError(413, f"expected at most {MAX_BODY} bytes", "too_large")
        return await handler(request)

    async def _alive(self, request: web.Request) -> web.Response:
        return web.Response(text="OK\n")

    async def _readiness(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._ready else 503, text=_READINESS[self._ready])

    async def _measurements(self, request: web.Request) -> web.Response:
        return web.Response(body=self.metrics.page(), headers={"Content-Type": CONTENT_TYPE})


_READINESS = {True: "OK\n", False: "loading\n"}


async def read_json(request: web.Request) -> dict[str, Any]:
    """The JSON object in a request's body; BadRequestError or RefusedError if there is none."""
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in CODINGS:
        raise RefusedError(415, f"Content-Encoding: expected one of {', '.join(CODINGS)}")
    try:
        async with asyncio.timeout(UPLOAD):
            body = json.loads(await request.read())
    except TimeoutError:
        reason = f"the request did not arrive within {UPLOAD:.0f} s"
        raise RefusedError(408, reason, "timeout") from None
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"expected JSON: {error}") from None
    if not isinstance(body, dict):
        raise BadRequestError(f"expected a JSON object, got {type(body).__name__}")
    return body


async def run_app(
    app: web.Application,
    address: tuple[str, int],
    ready: Callable[[int], None],
    ended: asyncio.Event,
    queue: JobQueue | None = None,
    load: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Listen, load, call `ready` with the port, serve until `ended`, close the queue.

    Args:
        app: A client that goes away cancels the handler of its request.
        address: Host and port; port 0: any that is free.
        ready: Is called once.
        ended: Is set by whoever wants the server to end.
        queue: The jobs of the handlers, if they have some.
        load: What has to be done before the server is ready, while clients may connect already.

    Raises:
        OSError: The port is not free.
        Exception: Whatever `load` raises.
    """
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=SHUTDOWN,
        logger=CONNECTIONS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
        if load:
            await load()
        ready(runner.addresses[0][1])
        await ended.wait()
    finally:
        # A timer comes after the sockets: a client that asyncio has accepted by then has a
        # transport, which cleanup closes. A client without one would wait for ever, because
        # nobody closes its socket (python/cpython#109564).
        await asyncio.sleep(0.001)
        await runner.cleanup()
        if queue:
            queue.close()
