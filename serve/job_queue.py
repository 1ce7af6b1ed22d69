# SPDX-License-Identifier: Apache-2.0
"""Slow jobs of an event loop's clients: one at a time, in one thread, first come first served."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from .http.metrics import Metrics

T = TypeVar("T")


class BusyError(Exception):
    """The queue is full."""


class SupersededError(Exception):
    """A newer job of the same session came before this job could begin."""


class JobQueue:
    """A bounded queue and the thread that runs its jobs; all methods are for the event loop.

    limit: jobs that may wait or run. `metrics` counts them, and whatever else the server measures.
    """

    def __init__(self, limit: int = 64) -> None:
        self.metrics = Metrics()
        self._limit = limit
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "infer")
        self._free = asyncio.Lock()  # first come, first served
        self._waiting = 0
        self._newest: dict[Hashable, object] = {}

    async def run(self, session: Hashable, job: Callable[[], T]) -> T:
        """The result of `job()`; if the caller is cancelled, a job that waits is forgotten.

        A job that runs already runs on, and no other job begins before it has ended.

        Raises:
            BusyError: At once, if the queue is full.
            SupersededError: When the job could begin, if a newer one of its session has come.
            Exception: Whatever the job raises.
        """
        if self._waiting >= self._limit:
            raise BusyError(f"{self._waiting} requests wait already")
        ticket = self._newest[session] = object()
        self._count(1)
        came = time.perf_counter()
        try:
            async with self._free:
                began = time.perf_counter()
                if self._newest.get(session) is not ticket:
                    raise SupersededError(
                        "a newer request of the same session came before this one could begin"
                    )
                try:
                    return await asyncio.get_running_loop().run_in_executor(self._thread, job)
                finally:
                    self.metrics.job(began - came, time.perf_counter() - began)
        finally:
            self._count(-1)
            if self._newest.get(session) is ticket:
                del self._newest[session]

    def _count(self, jobs: int) -> None:
        self._waiting += jobs
        self.metrics.waiting(self._waiting)

    def close(self) -> None:
        """Wait for the running job, cancel those that wait, end the thread."""
        self._thread.shutdown(cancel_futures=True)
