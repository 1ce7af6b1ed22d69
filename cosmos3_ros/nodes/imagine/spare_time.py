# SPDX-License-Identifier: Apache-2.0
"""Gives the model to one request at a time, where the policy has time between two chunks."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.task import Future as Awaited

from ...execution.latency_window import LatencyWindow
from ...ros.worker_thread import LAST


class GivenUpError(Exception):
    """Nobody waits for the result any more."""


class Turn:
    """The right of a request to use the model, taken and given back by its thread.

    durations: how long it was held each time.
    """

    def __init__(self, holds: threading.Event, durations: LatencyWindow, patience: float) -> None:
        self._holds, self._durations, self._patience = holds, durations, patience
        self._given = threading.Event()
        self._since = self.until = 0.0  # monotonic s: since when it is held; when it is given up
        self._is_over = False
        self.waits = False  # for the model

    @property
    def needs(self) -> float:
        """Seconds for which it was held at most."""
        return self._durations.quantile(1.0)

    def take(self) -> None:
        """Block until the policy spares the model; GivenUpError if the request is over."""
        self._given.clear()
        self.until = time.monotonic() + self._patience
        self.waits = True
        if not self._is_over:
            self._given.wait()
        if self._is_over:
            raise GivenUpError

    def release(self) -> None:
        """Give the model back; the thread goes on without it."""
        if self._holds.is_set():
            self._durations.add(time.monotonic() - self._since)
            self._holds.clear()

    def give(self) -> None:
        """The model is this request's, in the node's thread."""
        self.waits = False
        self._since = time.monotonic()
        self._holds.set()
        self._given.set()

    def end(self) -> None:
        """Nobody waits for the result any more, in the node's thread."""
        self._is_over, self.waits = True, False
        self._given.set()


Job = Callable[[Turn], Any]  # runs in a thread of its own; what it returns is the result


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What is asked for.

    prepare: called in the node's thread until it returns the job, on what is newest then; a str
    says why that must wait, ValueError why it never will be. at_once: the job begins without the
    model and takes it itself, else with it.
    """

    name: str  # what others are told while it is done
    prepare: Callable[[], Job | str]
    durations: LatencyWindow
    at_once: bool = False


@dataclasses.dataclass(slots=True)
class _Request:
    task: Task
    turn: Turn
    until: float  # when it is given up, unless it has begun, monotonic s
    done: Awaited
    checked: bool = False  # it could be begun but for the time
    begun: bool = False


class SpareTime:
    """One task at a time; a second one is refused.

    It has the model only where the policy can spare it for as long as that took at most, and while
    `is_computing` the policy is to begin no chunk: chunks take as long as without it. What it does
    without the model is done in a thread that gives way. spare: s for which the policy need begin
    no chunk; wake: the node's thread; patience: s without the model until the answer is no.
    """

    def __init__(
        self, spare: Callable[[], float], wake: Callable[[], None], patience: float
    ) -> None:
        self._spare, self._wake, self._patience = spare, wake, patience
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "imagine", os.nice, (LAST,))
        self._computing = threading.Event()
        self._request: _Request | None = None
        self._job: concurrent.futures.Future[Any] | None = None

    @property
    def is_computing(self) -> bool:
        """Whether a task has the model."""
        return self._computing.is_set()

    @property
    def is_asked(self) -> bool:
        """Whether a task waits or is done."""
        return self._request is not None

    async def ask(self, task: Task) -> Any:
        """What the job returns; waits as a coroutine of the node's thread.

        ValueError says what is wrong, or that there is no time for it.
        """
        if self._request:
            raise ValueError(f"busy: {self._request.task.name}, one thing at a time")
        turn = Turn(self._computing, task.durations, self._patience)
        until = time.monotonic() + self._patience
        self._request = request = _Request(task, turn, until, Awaited())
        try:
            self.poll()
            return await request.done
        finally:
            turn.end()
            self._request = None

    def poll(self) -> None:
        """Begin or go on with what waits if there is room now, or give it up; in the node's thread.

        What was given up may still end a step.
        """
        request = self._request
        if request is None or request.done.done():
            return
        needs = request.turn.needs
        why = f"busy: the policy has no {needs:.2f} s to spare between chunks"
        if request.begun:
            if not request.turn.waits:
                return
            if self._spare() >= needs:
                request.turn.give()
            else:
                self._wait(request, request.turn.until, why)
            return
        is_over = self._job is None or self._job.done()  # that of a request that was given up
        has_room = is_over and (request.task.at_once or self._spare() >= needs)
        if has_room or not request.checked:
            try:
                found = request.task.prepare()
            except ValueError as error:
                request.done.set_exception(error)
                return
            request.checked = not isinstance(found, str)
            if isinstance(found, str):
                why = found
            elif has_room:
                self._begin(request, found)
                return
        self._wait(request, request.until, why)

    def cancel(self, why: str) -> None:
        """Give up what waits or is done; in the node's thread."""
        if self._request and not self._request.done.done():
            self._request.done.set_exception(ValueError(why))
            self._request.turn.end()

    def close(self) -> None:
        """Wait for the end of what is computed."""
        self.cancel("the policy node was stopped")
        self._thread.shutdown()

    def _wait(self, request: _Request, until: float, why: str) -> None:
        if time.monotonic() > until:
            request.done.set_exception(ValueError(f"{why}; waited {self._patience:g} s"))
            request.turn.end()

    def _begin(self, request: _Request, job: Job) -> None:
        request.begun = True
        if not request.task.at_once:
            request.turn.give()
        self._job = self._thread.submit(self._run, request, job)
        self._job.add_done_callback(functools.partial(self._end, request))

    def _run(self, request: _Request, job: Job) -> Any:
        try:
            return job(request.turn)
        finally:
            request.turn.release()

    def _end(self, request: _Request, job: concurrent.futures.Future[Any]) -> None:
        if request.done.done():  # given up meanwhile
            return
        if error := job.exception():
            known = error if isinstance(error, Exception) else RuntimeError(repr(error))
            request.done.set_exception(known)
        else:
            request.done.set_result(job.result())
        self._wake()
