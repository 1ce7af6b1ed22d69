# SPDX-License-Identifier: Apache-2.0
"""The action ~/generate_video of the policy node: a video of a sentence, from what is seen now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.action import CancelResponse, GoalResponse

from ...action import GenerateVideo
from ...execution.latency_window import LatencyWindow
from ...execution.observation_buffer import Sample
from ...model.embodiment import Embodiment
from ...model.interface import Future, GeneratesVideo, gray_observation
from ...msg import Future as FutureMessage
from ...ros.messages import future_message
from .imagination import Around
from .imagine_service import Asking
from .spare_time import Job, SpareTime, Task, Turn

CANCELED = "canceled by the caller"


class VideoAction:
    """Answers as `GenerateVideo.action` says; in the node's thread.

    publish: gets every video.
    """

    def __init__(
        self,
        generator: GeneratesVideo,
        embodiment: Embodiment,
        around: Around,
        asking: Asking,
        turns: SpareTime,
        publish: Callable[[FutureMessage], None],
    ) -> None:
        self._generator, self._embodiment = generator, embodiment
        self._around, self._asking, self._turns = around, asking, turns
        self._publish = publish
        self._durations = LatencyWindow(8)
        self._goal: Any = None  # the handle of what is being generated
        self._done = (0, 0)  # steps, of how many
        self._told = self._done

    def warm_up(self) -> None:
        """Make a video of few steps and the most frames, and see how long a step takes."""
        observation = gray_observation(self._embodiment, "wait")
        since = time.monotonic()

        def pause(done: int, steps: int) -> None:
            nonlocal since
            now = time.monotonic()
            self._durations.add(now - since)
            since = now

        made = self._generator.generate(self._generator.brief(), observation, pause)
        self._durations.add(time.monotonic() - since)
        self._generator.decode(made, 0)

    def accept(self, goal: GenerateVideo.Goal) -> GoalResponse:
        """Every goal: to refuse has no words, a result has."""
        return GoalResponse.ACCEPT

    def cancel(self, handle: Any) -> CancelResponse:
        """At the next step."""
        if self._goal is not None and self._goal.goal_id == handle.goal_id:
            self._turns.cancel(CANCELED)
        return CancelResponse.ACCEPT

    def poll(self) -> None:
        """Tell the caller how far it is, if it went on."""
        if self._goal is None or self._told == self._done:
            return
        self._told = done, steps = self._done
        left = (steps - done) * self._durations.quantile(0.5)
        feedback = GenerateVideo.Feedback(step=done, steps=steps, seconds_left=left)
        self._goal.publish_feedback(feedback)

    async def execute(self, handle: Any) -> GenerateVideo.Result:
        """Waits as a coroutine, so that pictures go on arriving."""
        began, result, goal = time.monotonic(), GenerateVideo.Result(), handle.request
        try:
            self._asking.check()
            video = await self._make(handle, self._request(goal), goal.prompt)
        except Exception as error:
            result.message = self._asking.told(error)
            handle.canceled() if handle.is_cancel_requested else handle.abort()
        else:
            result.success, result.message = True, f"{len(video.frames)} frames"
            prompt = goal.prompt.strip()
            result.video = future_message(video, number=0, instruction=prompt)
            self._publish(result.video)
            handle.succeed()
        result.seconds = time.monotonic() - began
        return result

    def _request(self, goal: GenerateVideo.Goal) -> Any:
        """ValueError says what is wrong with it."""
        given = {name: getattr(goal, name) for name in ("steps", "guidance", "shift")}
        asked = {name: value for name, value in given.items() if value}
        if not goal.prompt.strip():
            raise ValueError("prompt: expected a sentence, got an empty string")
        return self._generator.complete(goal.prompt.strip(), goal.frames, goal.seed, **asked)

    async def _make(self, handle: Any, request: Any, prompt: str) -> Future:
        if handle.is_cancel_requested:
            raise ValueError(CANCELED)

        def prepare() -> Job | str:
            sample = self._around.sample()
            if isinstance(sample, str):
                return sample
            self._goal, self._done = handle, (0, 0)
            return lambda turn: self._run(turn, request, prompt, sample)

        try:
            task = Task("a video is being generated", prepare, self._durations)
            video: Future = await self._turns.ask(task)
            return video
        finally:
            if self._goal is handle:
                self._goal = None

    def _run(self, turn: Turn, request: Any, prompt: str, sample: Sample) -> Future:
        observation = self._around.observe(prompt, sample)

        def pause(done: int, steps: int) -> None:
            self._done = done, steps
            turn.release()
            turn.take()

        made = self._generator.generate(request, observation, pause)
        turn.release()
        return self._generator.decode(made, sample.stamp)
