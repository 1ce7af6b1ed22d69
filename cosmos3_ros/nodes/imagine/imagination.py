# SPDX-License-Identifier: Apache-2.0
"""Imagines candidates on the newest observation, where the policy has time between two chunks."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable

import numpy as np
from rclpy.task import Future as Awaited

from ...execution.candidates.candidate import Candidate, CandidateReader
from ...execution.latency_window import LatencyWindow
from ...execution.observation_buffer import Sample
from ...model.interface import (
    NS,
    ActionChunk,
    ForwardDynamics,
    Future,
    Observation,
    gray_observation,
)
from ...ros.worker_thread import LAST


@dataclasses.dataclass(frozen=True, slots=True)
class Imagined:
    """The clip, and how the candidate was read."""

    future: Future
    note: str


@dataclasses.dataclass(frozen=True, slots=True)
class Around:
    """What the node around it knows; called in the node's thread, but for `observe`."""

    sample: Callable[[], Sample | str]  # the newest one, or why there is none
    observe: Callable[[str, Sample], Observation]  # of an instruction
    spare: Callable[[], float]  # s for which the policy need begin no chunk
    wake: Callable[[], None]  # the node's thread


@dataclasses.dataclass(slots=True)
class _Request:
    candidate: Candidate
    instruction: str
    until: float  # when it is given up, monotonic s
    done: Awaited
    checked: bool = False  # it can be played from where the robot was
    begun: bool = False


class Imagination:
    """One candidate at a time; a second one is refused.

    It takes the model only where the policy can spare it for as long as that took at most, and
    while `is_computing` the policy is to begin no chunk: chunks take as long as without it. The
    video is made of it afterwards, in a thread that gives way. patience: s until the answer is no.
    """

    def __init__(
        self,
        policy: ForwardDynamics,
        reader: CandidateReader,
        around: Around,
        patience: float,
    ) -> None:
        self._policy, self._reader = policy, reader
        self._around, self._patience = around, patience
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "imagine", os.nice, (LAST,))
        self._taken = LatencyWindow(8)  # s for which it had the model
        self._computing = threading.Event()
        self._request: _Request | None = None
        self._job: concurrent.futures.Future[Imagined] | None = None

    def warm_up(self, times: int) -> None:
        """Do what happens only once, and see how long it takes, before the policy runs."""
        embodiment = self._policy.embodiment
        observation = gray_observation(embodiment, "wait")
        rest = self._reader.at_rest(observation.state)
        for _ in range(times):
            began = time.monotonic()
            self._policy.imagine(observation, rest)
        self._taken.add(time.monotonic() - began)

    @property
    def is_computing(self) -> bool:
        """Whether it has the model."""
        return self._computing.is_set()

    async def imagine(self, candidate: Candidate, instruction: str) -> Imagined:
        """The clip; waits as a coroutine of the node's thread.

        ValueError says what is wrong with the candidate, or that there is no time for it.
        """
        if self._request:
            raise ValueError("busy: another candidate is being imagined, one at a time")
        until = time.monotonic() + self._patience
        self._request = request = _Request(candidate, instruction, until, Awaited())
        try:
            self.poll()
            return await request.done
        finally:
            self._request = None

    def poll(self) -> None:
        """Begin what waits if there is room for it now, or give it up; in the node's thread."""
        request = self._request
        if request is None or request.begun or request.done.done():
            return
        needs = self._taken.quantile(1.0)
        is_over = self._job is None or self._job.done()  # that of a request that was given up
        has_room = is_over and self._around.spare() >= needs
        if has_room or not request.checked:
            found = self._around.sample()
            if isinstance(found, str):
                self._wait(request, found)
                return
            sample = found
            try:
                state = sample.state.astype(np.float32)
                chunk = self._reader.chunk(request.candidate, state, sample.stamp)
            except ValueError as error:
                request.done.set_exception(error)
                return
            request.checked = True
        if not has_room:
            self._wait(request, f"busy: the policy has no {needs:.2f} s to spare between chunks")
            return
        request.begun = True
        self._computing.set()
        self._job = self._thread.submit(self._run, request, sample, chunk)
        self._job.add_done_callback(functools.partial(self._end, request))

    def cancel(self, why: str) -> None:
        """Give up what waits or is computed; in the node's thread."""
        if self._request and not self._request.done.done():
            self._request.done.set_exception(ValueError(why))

    def close(self) -> None:
        """Wait for the end of what is computed."""
        self._thread.shutdown()

    def _wait(self, request: _Request, why: str) -> None:
        if time.monotonic() > request.until:
            request.done.set_exception(ValueError(f"{why}; waited {self._patience:g} s"))

    def _run(self, request: _Request, sample: Sample, chunk: ActionChunk) -> Imagined:
        try:
            observation = self._around.observe(request.instruction, sample)
            began = time.monotonic()
            prediction = self._policy.imagine(observation, chunk)
            self._taken.add(time.monotonic() - began)
        finally:
            self._computing.clear()
        rows = self._policy.embodiment.horizon
        note = request.candidate.note(self._reader.robot.joints, rows * chunk.step / NS)
        return Imagined(self._policy.decode(prediction), note)

    def _end(self, request: _Request, job: concurrent.futures.Future[Imagined]) -> None:
        if request.done.done():  # given up meanwhile
            return
        if error := job.exception():
            request.done.set_exception(error)
        else:
            request.done.set_result(job.result())
        self._around.wake()
