# SPDX-License-Identifier: Apache-2.0
"""Videos that begin with what a policy's cameras show, made step by step beside the policy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from ..diffusion.guidance import Guidance
from ..generator import Generated, Generator, Request
from ..interface import Future, Observation
from ..language.captions import is_structured, structured_caption, tokenize, video_caption
from ..policy import Cosmos3Policy
from ..runtime.cuda_stream import CudaStream
from .checkpoint_kind import CheckpointKind, read_kind
from .options import GenerateOptions


@dataclasses.dataclass(frozen=True, slots=True)
class VideoRequest:
    """What is asked for, with everything chosen that was left out."""

    prompt: str  # a sentence, or a whole structured caption
    frames: int
    steps: int
    guidance: float
    shift: float
    seed: int
    negative: str


class LiveVideo:
    """The generator of a policy's checkpoint, on the canvas and at the rate of its embodiment.

    frames: the most that may be asked for, 4 k + 1 and at least 5. ValueError for others, and for
    a checkpoint that makes no videos of pictures.
    """

    def __init__(self, policy: Cosmos3Policy, frames: int) -> None:
        if policy.model.team:
            raise ValueError("generate_frames: expected 0 where several processes share a model")
        if frames < 5 or frames % 4 != 1:
            raise ValueError(f"generate_frames: expected 0, or 4 k + 1 (5, 9, ...), got {frames}")
        self.frames = frames
        self._policy, self._generator = policy, Generator(policy.model)
        self._kind: CheckpointKind = read_kind(policy.model.path)
        self._stream = CudaStream(policy.model.device)
        self.complete("wait")

    def complete(self, prompt: str, frames: int = 0, seed: int = 0, **given: Any) -> VideoRequest:
        """The request with all that it leaves out; ValueError names what is wrong with it.

        frames: 0: as many as may be. given: steps, guidance and shift; what is absent is chosen by
        the checkpoint's kind.
        """
        frames = frames or self.frames
        if not 5 <= frames <= self.frames:
            raise ValueError(f"frames: expected 0, or 5 to {self.frames}, got {frames}")
        fps = self._policy.embodiment.fps
        asked = GenerateOptions(
            prompt=prompt, image="the cameras", frames=frames, fps=fps, seed=seed, **given
        )
        chosen = self._kind.complete(asked)
        about, structured = (frames, fps, self._size), is_structured(prompt)
        caption = structured_caption(json.loads(prompt), *about) if structured else prompt
        for words in (caption if structured else video_caption(prompt, *about), chosen.negative):
            tokenize(self._policy.model.tokenizer, words)
        return VideoRequest(
            caption, frames, chosen.steps, chosen.guidance, chosen.shift, seed, chosen.negative
        )

    def brief(self) -> VideoRequest:
        """A request of the most frames and two steps, or as many as a student has."""
        asked = self.complete("wait")
        return asked if self._kind.levels else dataclasses.replace(asked, steps=2)

    def generate(
        self, request: VideoRequest, observation: Observation, pause: Callable[[int, int], None]
    ) -> Generated:
        """The video, not decoded; the model is held but while `pause` runs.

        pause: called between two steps with how many are done, of how many.
        """
        policy = self._policy
        lock, canvas = policy.model.lock, policy.embodiment.compose(observation.images)
        made = Request(
            request.prompt,
            frames=request.frames,
            size=self._size,
            fps=policy.embodiment.fps,
            negative=request.negative,
            image=canvas,
            steps=request.steps,
            guidance=Guidance(request.guidance),
            shift=request.shift,
            seed=request.seed,
        )
        steps, done = self._generator.steps(made), 0

        def progress() -> None:
            nonlocal done
            done += 1
            self._stream.wait()
            if done == steps:
                return
            lock.release()
            try:
                pause(done, steps)
            finally:
                lock.acquire()

        with lock, self._stream:
            generated = self._generator.generate(made, progress)
            self._stream.wait()
        return generated

    def decode(self, generated: Generated, stamp: int) -> Future:
        """The video without the canvas's padding; stamp: of its first frame (ns)."""
        height, width = self._policy.embodiment.canvas.content
        with self._stream:
            frames = self._generator.decode(generated)[:, :height, :width]
        return Future(np.ascontiguousarray(frames), stamp, self._policy.embodiment.step)

    @property
    def _size(self) -> tuple[int, int]:
        return self._policy.embodiment.canvas.size
