# SPDX-License-Identifier: Apache-2.0
"""Imagines candidates on the newest observation, where the policy has time between two chunks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

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
from .spare_time import Job, SpareTime, Task, Turn


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


class Imagination:
    """Candidates of a reader in the spare time of a policy; what is asked waits for its turn."""

    def __init__(
        self, policy: ForwardDynamics, reader: CandidateReader, around: Around, turns: SpareTime
    ) -> None:
        self._policy, self._reader = policy, reader
        self._around, self._turns = around, turns
        self._durations = LatencyWindow(8)

    def warm_up(self, times: int) -> None:
        """Do what happens only once, and see how long it takes, before the policy runs."""
        state, rest = self._reader.at_rest()
        gray = gray_observation(self._policy.embodiment, "wait")
        observation = dataclasses.replace(gray, state=state)
        for _ in range(times):
            began = time.monotonic()
            self._policy.imagine(observation, rest)
        self._durations.add(time.monotonic() - began)

    async def imagine(self, candidate: Candidate, instruction: str) -> Imagined:
        """The clip; waits as a coroutine of the node's thread.

        ValueError says what is wrong with the candidate, or that there is no time for it.
        """

        def prepare() -> Job | str:
            sample = self._around.sample()
            if isinstance(sample, str):
                return sample
            chunk = self._reader.chunk(candidate, sample.state, sample.stamp)
            return lambda turn: self._run(turn, instruction, sample, candidate, chunk)

        task = Task("a candidate is being imagined", prepare, self._durations)
        imagined: Imagined = await self._turns.ask(task)
        return imagined

    def _run(
        self,
        turn: Turn,
        instruction: str,
        sample: Sample,
        candidate: Candidate,
        chunk: ActionChunk,
    ) -> Imagined:
        observation = self._around.observe(instruction, sample)
        prediction = self._policy.imagine(observation, chunk)
        turn.release()
        rows = self._policy.embodiment.horizon
        note = candidate.note(self._reader.robot.joints, rows * chunk.step / NS)
        return Imagined(self._policy.decode(prediction), note)
