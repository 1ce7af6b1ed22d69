# SPDX-License-Identifier: Apache-2.0
"""The life cycle that the HTTP servers share: listen, check the token, reply to errors, end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable

from aiohttp import web

from .auth import allows
from .job_queue import JobQueue

MAX_BODY = 64 << 20  # bytes of a request
SHUTDOWN = 1.0  # seconds that a handler may go on after the end of the server


class RefusedError(Exception):
    """A request that is refused: HTTP status, what to say, OpenAI's word for the reason."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def make_app(
    routes: Iterable[web.RouteDef],
    token: str,
    reply_error: Callable[[Exception], web.Response],
    check: Callable[[web.Request], None] = lambda request: None,
    public: Collection[str] = (),
) -> web.Application:
    """The application of a server.

    Args:
        routes: What the server answers.
        token: Requests without it are refused, "": none is.
        reply_error: The reply to a request whose handler has raised an exception.
        check: Raises RefusedError for a request that no handler may see.
        public: Paths that need no token.
    """

    @web.middleware
    async def guard(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            given = request.headers.get("Authorization")
            if request.path not in public and not allows(token, given):
                reason = "the API key is missing or wrong"
                raise RefusedError(401, reason, "invalid_api_key")
            check(request)
            return await handler(request)
        except web.HTTPException as error:
            return reply_error(RefusedError(error.status, error.text or error.reason))
        except Exception as error:
            return reply_error(error)

    app = web.Application(client_max_size=MAX_BODY, middlewares=[guard])
    app.add_routes(routes)
    return app


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
        app: See `make_app`; a client that goes away cancels the handler of its request.
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
        app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN
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
