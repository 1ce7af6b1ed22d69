# SPDX-License-Identifier: Apache-2.0
"""The service ~/infer_actions of the policy node: the commands that lead through what was seen."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...execution.latency_window import LatencyWindow
from ...execution.observation_buffer import Sample
from ...execution.recent.recent_samples import RecentSamples
from ...model.embodiment import Embodiment
from ...model.interface import NS, ActionChunk, InverseDynamics, Observation, gray_observation
from ...ros.messages import chunk_message
from ...srv import InferActions
from .imagine_service import Asking
from .spare_time import Job, SpareTime, Task, Turn


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """What the node knows of the robot: of samples, and of commands in its names and units."""

    convert: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]  # pictures of messages, by view
    observe: Callable[[str, Sample], Observation]  # of an instruction
    to_robot: Callable[[ActionChunk, np.ndarray], ActionChunk]  # after these positions
    now: Callable[[], int]  # ns


class InferService:
    """Answers as `InferActions.srv` says; in the node's thread. recent: is filled by the node."""

    def __init__(
        self,
        dynamics: InverseDynamics,
        embodiment: Embodiment,
        recent: RecentSamples,
        body: Body,
        asking: Asking,
        turns: SpareTime,
    ) -> None:
        self._dynamics, self._embodiment, self._recent = dynamics, embodiment, recent
        self._body, self._asking, self._turns = body, asking, turns
        self._durations = LatencyWindow(8)

    def warm_up(self, times: int) -> None:
        """Read gray pictures, and see how long it takes, before the policy runs."""
        observation = gray_observation(self._embodiment, "wait")
        canvas = self._embodiment.compose(observation.images)
        frames = np.repeat(canvas[None], self._embodiment.horizon + 1, axis=0)
        for _ in range(times):
            began = time.monotonic()
            self._dynamics.infer_actions(frames, observation)
        self._durations.add(time.monotonic() - began)

    async def answer(
        self, request: InferActions.Request, response: InferActions.Response
    ) -> InferActions.Response:
        """Waits as a coroutine, so that pictures go on arriving."""
        began = time.monotonic()
        try:
            self._asking.check()
            instruction = self._asking.instruction(request.instruction)
            rows = self._recent.rows(request.seconds, self._embodiment.horizon)
            chunk, seconds = await self._infer(rows, instruction)
        except Exception as error:
            response.message = self._asking.told(error)
        else:
            response.success = True
            response.message = f"{rows} rows of {rows * chunk.step / NS:.2f} s"
            response.actions = chunk_message(
                chunk,
                number=0,
                instruction=instruction,
                embodiment=self._embodiment.name,
                seconds=seconds,
            )
        response.seconds = time.monotonic() - began
        return response

    async def _infer(self, rows: int, instruction: str) -> tuple[ActionChunk, dict[str, float]]:
        """The commands, and how long each stage took."""

        def prepare() -> Job:
            samples = self._recent.last(rows, self._body.now())
            return lambda turn: self._run(turn, samples, instruction)

        name = "what was seen is being read"
        found = await self._turns.ask(Task(name, prepare, self._durations, at_once=True))
        chunk: ActionChunk = found[0]
        return chunk, found[1]

    def _run(
        self, turn: Turn, samples: list[Sample], instruction: str
    ) -> tuple[ActionChunk, dict[str, float]]:
        """Convert pictures without the model, then read them with it."""
        began = time.monotonic()
        observation = self._body.observe(instruction, samples[0])
        compose, convert = self._embodiment.compose, self._body.convert
        frames = np.stack([compose(convert(sample.images)) for sample in samples])
        converted = time.monotonic()
        turn.take()
        taken = time.monotonic()
        chunk = self._dynamics.infer_actions(frames, observation)
        turn.release()
        inferred = time.monotonic()
        chunk = self._body.to_robot(chunk, samples[0].state)
        seconds = {
            "convert": converted - began,
            "wait": taken - converted,
            "denoise": inferred - taken,
        }
        return chunk, seconds
