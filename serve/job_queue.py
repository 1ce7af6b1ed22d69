# SPDX-License-Identifier: Apache-2.0
"""Slow work for many clients of an event loop: one job at a time in one thread, first come first served, bounded."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Hashable
from typing import TypeVar

T = TypeVar("T")


class BusyError(Exception):
    """Too many others wait already."""


class SupersededError(Exception):
    """A newer job of the same session has come before this one could begin."""


class Turns:
    """See the module. limit: jobs that may wait. All of it but the jobs runs in the event loop."""

    def __init__(self, limit: int = 64) -> None:
        self._limit = limit
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "infer")
        self._free = asyncio.Lock()  # first come, first served
        self._waiting = 0
        self._newest: dict[Hashable, object] = {}

    async def run(self, session: Hashable, job: Callable[[], T]) -> T:
        """The result of `job()`.

        Raises BusyError at once, SupersededError when its turn comes, or what the job raises.

        If the caller is cancelled the job is forgotten; one that runs already runs on, and nobody
        else begins before it has ended.
        """
        if self._waiting >= self._limit:
            raise BusyError(f"{self._waiting} requests wait already")
        ticket = self._newest[session] = object()
        self._waiting += 1
        try:
            async with self._free:
                if self._newest.get(session) is not ticket:
                    raise SupersededError(
                        "a newer request of the same session came before this one could begin"
                    )
                return await asyncio.get_running_loop().run_in_executor(self._thread, job)
        finally:
            self._waiting -= 1
            if self._newest.get(session) is ticket:
                del self._newest[session]

    def close(self) -> None:
        """Let the running job end, and the thread."""
        self._thread.shutdown(cancel_futures=True)
