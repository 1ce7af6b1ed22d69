# SPDX-License-Identifier: Apache-2.0
"""Videos made one after another, in the order of their promises, across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from ..http.errors import said
from ..job_queue import BusyError, JobQueue
from .asked import Asked
from .checks import nameless
from .engine import Engine
from .job_store import INPUT, QUEUED, RUNNING, Job, JobStore, no_room

LOG = logging.getLogger("cosmos3_ros.serve")
PER_STEPS = 95  # percent that denoising is of a job; decoding is the rest


class StoppedError(Exception):
    """A job that nobody wants any more, or not now."""


class VideoJobs:
    """The jobs of a store that wait or run; limit: how many may, besides those of a restart.

    All methods are for the event loop.
    """

    def __init__(self, store: JobStore, queue: JobQueue, limit: int) -> None:
        self._store, self._queue, self._limit = store, queue, limit
        self._stops: dict[str, threading.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending = threading.Event()
        self._reserved = 0

    @property
    def ending(self) -> bool:
        """Whether the server ends."""
        return self._ending.is_set()

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """A place in the line, while its job is put on the disk."""
        self._reserved += 1
        try:
            yield
        finally:
            self._reserved -= 1

    def check_room(self, more: int = 1) -> None:
        """BusyError if so many jobs more may not wait."""
        waiting = len(self._tasks) + self._reserved
        if waiting + more > self._limit:
            raise BusyError(f"{waiting} requests wait already")

    def start(self, engine: Engine, job: Job) -> None:
        """Make a job when its turn comes."""
        self._stops[job.id] = threading.Event()
        task = asyncio.create_task(self._run(engine, job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._forget(job))

    async def wait(self, job: Job) -> None:
        """Until a job has ended, however."""
        if task := self._tasks.get(job.id):
            await asyncio.wait([task])

    def cancel(self, job: Job) -> None:
        """Stop a job, at the next step if it runs."""
        if stop := self._stops.get(job.id):
            stop.set()

    def end(self) -> None:
        """The server ends: what runs stops at the next step, and is made again by the next one."""
        self._ending.set()

    def stopper(self, gone: threading.Event) -> Callable[[], None]:
        """What raises StoppedError between steps, once somebody has gone or the server ends."""

        def check() -> None:
            if gone.is_set() or self._ending.is_set():
                raise StoppedError

        return check

    async def _run(self, engine: Engine, job: Job) -> None:
        check = self.stopper(self._stops[job.id])
        try:
            await self._queue.run(job.id, lambda: self._make(engine, job, check))
        except StoppedError:
            return
        except Exception as error:
            LOG.error("video %s: ", job.id, exc_info=error)

    def _make(self, engine: Engine, job: Job, check: Callable[[], None]) -> None:
        """In the thread: make a job, and note how it ended."""
        check()
        job.status = RUNNING
        error: dict[str, str] | None = None
        try:
            self._write(engine, job, check)
        except StoppedError:
            job.status, job.progress = QUEUED, 0
            raise
        except ValueError as wrong:  # it was checked: something has changed since
            LOG.warning("video %s: %s", job.id, wrong)
            error = {"code": "invalid_request_error", "message": said(wrong)}
        except Exception as defect:
            LOG.error("video %s was not made", job.id, exc_info=defect)
            room = {"code": "no_space", "message": "there was no room for the result"}
            inside = {"code": "internal_error", "message": "the server's log says what went wrong"}
            error = room if no_room(defect) else inside
        self._store.finish(job, error)

    def _write(self, engine: Engine, job: Job, check: Callable[[], None]) -> None:
        folder = self._store.folder(job)
        given = str(folder / INPUT) if job.has_input else ""
        result = self._store.result(job)
        data = (folder / INPUT).read_bytes() if given else None
        asked = Asked(job.options, data, job.dynamics)
        with nameless(given):
            if job.dynamics:
                action = asked.act(given)
                engine.write_dynamics(action, result, _progress(job, action.steps, check))
                return
            complete = engine.complete(asked.generate(given))
            engine.write(complete, result, _progress(job, engine.steps(complete), check))

    def _forget(self, job: Job) -> None:
        self._tasks.pop(job.id, None)
        self._stops.pop(job.id, None)


def _progress(job: Job, steps: int, check: Callable[[], None]) -> Callable[[], None]:
    """Counts steps as percent, and stops where somebody wants it."""
    done = 0

    def step() -> None:
        nonlocal done
        check()
        done += 1
        job.progress = min(PER_STEPS, PER_STEPS * done // max(1, steps))

    return step
