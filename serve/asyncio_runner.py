# SPDX-License-Identifier: Apache-2.0
"""Runs a server's coroutine: until Ctrl-C, or beside other work in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator

# takes ready(port) and ended
Run = Callable[[Callable[[int], None], asyncio.Event], Awaitable[None]]
# takes host and port before them
Serve = Callable[[str, int, Callable[[int], None], asyncio.Event], Awaitable[None]]


def until_interrupted(run: Run, ready: Callable[[int], None]) -> int:
    """Run until SIGINT or SIGTERM; the exit code. What `run` raises is raised.

    Before it is ready nobody listens to `ended`, there is nothing to end in order, and either
    signal kills.
    """

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def is_ready(port: int) -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, ended.set)
            ready(port)

        await run(is_ready, ended)

    # with Python's, asyncio would wait for the thread that loads
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    return 0


def serve_until_interrupted(host: str, port: int, serve: Serve, scheme: str) -> int:
    """Serve until Ctrl-C, and say when it begins."""

    def ready(number: int) -> None:
        print(f"ready: {scheme}://{host}:{number}", flush=True)

    return until_interrupted(lambda ready, ended: serve(host, port, ready, ended), ready)


@contextlib.contextmanager
def in_background(run: Run) -> Iterator[int]:
    """Run in a thread as long as the context lasts; its value is what `run` is ready with.

    The context begins when the server is ready; what `run` raises before that is raised here.
    """
    started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = (
        concurrent.futures.Future()
    )

    async def main() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        await run(lambda port: started.set_result((loop, ended, port)), ended)

    def thread_main() -> None:
        try:
            asyncio.run(main())
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=thread_main, name="server")
    thread.start()
    try:
        loop, ended, port = started.result()
        try:
            yield port
        finally:
            with contextlib.suppress(RuntimeError):  # closed: the server has ended by itself
                loop.call_soon_threadsafe(ended.set)
    finally:
        thread.join()
