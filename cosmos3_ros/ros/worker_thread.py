# SPDX-License-Identifier: Apache-2.0
"""One thread that owns a slow job and always works on the newest input."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
NICE = 5  # where the processor is short, callbacks and set points go first
LAST = 2 * NICE  # and chunks go before words and videos, which nobody waits for to move


class Worker(Generic[T]):
    """Runs `job(item)` in its own thread.

    An item that waits is replaced by a newer one, never queued.

    An exception of the job goes to `failed` and the worker goes on. nice: how far its thread gives
    way to others.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[T], None],
        failed: Callable[[Exception], None],
        nice: int = NICE,
    ) -> None:
        self._job, self._failed, self._nice = job, failed, nice
        self._changed = threading.Condition()
        self._newest: T | None = None
        self._busy = self._closing = False
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """True if nothing runs and nothing waits."""
        with self._changed:
            return not self._busy and self._newest is None

    def submit(self, item: T) -> None:
        """Hand over the newest item; returns at once."""
        with self._changed:
            self._newest = item
            self._changed.notify_all()

    def drop(self) -> None:
        """Forget what waits; what runs, runs on."""
        with self._changed:
            self._newest = None

    def close(self) -> None:
        """End the thread after the running item; what waits is dropped."""
        with self._changed:
            self._closing, self._newest = True, None
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        os.nice(self._nice)  # on Linux of this thread and of those it starts
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._closing or self._newest is not None)
                if self._closing:
                    return
                item, self._newest, self._busy = self._newest, None, True
            try:
                self._job(item)  # type: ignore[arg-type]  # not None: see wait_for
            except Exception as error:  # whatever a job raises is the node's to report
                self._failed(error)
