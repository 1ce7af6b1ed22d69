# SPDX-License-Identifier: Apache-2.0
"""The data that flows between robot, policy and reasoner: a frozen type for each, numpy only.

Each is checked when it is made. Times are integer nanoseconds on the clock of the camera stamps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .arrays import NS, check_array, check_image
from .embodiment.spec import Embodiment

__all__ = [
    "NS",
    "ActionChunk",
    "Answer",
    "Box",
    "ForwardDynamics",
    "Future",
    "GeneratesVideo",
    "InverseDynamics",
    "Observation",
    "Policy",
    "Prediction",
    "ReadsInstructions",
    "Reasoner",
    "Surprise",
    "check_image",
    "committed_rows",
    "gray_observation",
    "warm_up",
    "warm_up_reasoner",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What the robot saw and felt at one moment."""

    images: Mapping[str, np.ndarray]  # view name -> uint8 [H, W, 3] RGB
    state: np.ndarray  # float32 [D], columns and units = `Embodiment.state`
    instruction: str
    stamp: int  # capture time in ns, the oldest of the images' stamps

    def __post_init__(self) -> None:
        for view, image in self.images.items():
            check_image(f"Observation.images[{view!r}]", image)
        check_array("Observation.state", self.state, 1)
        if not self.instruction.strip():
            raise ValueError("Observation.instruction: expected a sentence, got an empty string")


@dataclasses.dataclass(frozen=True, slots=True)
class ActionChunk:
    """Commands as a function of time: row i is due at `stamp + (i + 1) * step`."""

    values: np.ndarray  # float32 [H, D] in the units of `names`
    names: tuple[str, ...]
    stamp: int  # ns, capture time of the observation it answers
    step: int  # ns between rows
    # The columns that jump instead of moving (grippers): held, never interpolated or blended.
    discrete: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_array("ActionChunk.values", self.values, 2)
        rows, width = self.values.shape
        if rows == 0 or width != len(self.names):
            expected = f"[>=1, {len(self.names)}] for {self.names}"
            raise ValueError(f"ActionChunk.values: expected {expected}, got {[rows, width]}")
        if len(set(self.names)) != width:
            raise ValueError(f"ActionChunk.names: expected distinct names, got {self.names}")
        if self.step <= 0:
            raise ValueError(f"ActionChunk.step: expected a positive number of ns, got {self.step}")
        if unknown := set(self.discrete) - set(self.names):
            raise ValueError(f"ActionChunk.discrete: {sorted(unknown)} not among {self.names}")

    @property
    def start(self) -> int:
        """When the first row is due, ns."""
        return self.stamp + self.step

    @property
    def end(self) -> int:
        """When the last row is due, ns."""
        return self.stamp + len(self.values) * self.step

    def times(self) -> np.ndarray:
        """When each row is due: int64 [H], ns."""
        return self.stamp + self.step * np.arange(1, len(self.values) + 1, dtype=np.int64)

    def at(self, now: int) -> np.ndarray | None:
        """The command due at `now`: float32 [D], linear between rows.

        The first row before `start`, None after `end`.
        """
        if now > self.end:
            return None
        position = max(0.0, (now - self.start) / self.step)
        row = min(int(position), len(self.values) - 1)
        after = min(row + 1, len(self.values) - 1)
        command = self.values[row] + np.float32(position - row) * (
            self.values[after] - self.values[row]
        )
        for name in self.discrete:
            column = self.names.index(name)
            command[column] = self.values[row, column]
        return command

    def rows(self, begin: int, end: int) -> ActionChunk | None:
        """The rows due in (begin, end], with unchanged due times; None if there is none."""
        due = self.times()
        keep = np.flatnonzero((due > begin) & (due <= end))
        if keep.size == 0:
            return None
        stamp = self.stamp + int(keep[0]) * self.step
        return dataclasses.replace(self, values=self.values[keep], stamp=stamp)


def committed_rows(
    committed: ActionChunk | None, embodiment: Embodiment, stamp: int
) -> dict[int, np.ndarray]:
    """Which rows of the chunk that answers `stamp` (ns) are committed, and their commands [D].

    ValueError if the columns are not the embodiment's.
    """
    if committed is None:
        return {}
    if committed.names != embodiment.action_names:
        raise ValueError(
            f"committed.names: expected {embodiment.action_names}, got {committed.names}"
        )
    due = stamp + embodiment.step * np.arange(1, embodiment.horizon + 1)
    first = committed.start - committed.step // 2  # stamps jitter by less than half a row
    kept = {row: committed.at(int(now)) for row, now in enumerate(due) if now >= first}
    return {row: command for row, command in kept.items() if command is not None}


@dataclasses.dataclass(frozen=True, slots=True)
class Future:
    """What the model expects to see: frame k at `stamp + k * step` (ns).

    Frame 0 is the observed moment itself, as the video autoencoder reproduces it.
    """

    frames: np.ndarray  # uint8 [T, H, W, 3]
    stamp: int
    step: int

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.dtype != np.uint8 or self.frames.shape[3] != 3:
            got = f"{self.frames.dtype} {list(self.frames.shape)}"
            raise ValueError(f"Future.frames: expected uint8 [T, H, W, 3], got {got}")


@dataclasses.dataclass(frozen=True, slots=True)
class Prediction:
    """What a policy returns: the chunk, the cost, and the future before it is decoded."""

    chunk: ActionChunk
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of each stage
    latents: Any = None  # what the policy's own `decode` turns into a Future; opaque elsewhere


@dataclasses.dataclass(frozen=True, slots=True)
class Surprise:
    """How far what came was from what had been predicted, for one piece of a future.

    1 is as much as undisturbed episodes show once in ten minutes.
    """

    stamp: int  # of the last picture that was compared, ns
    values: Mapping[str, float]  # by view
    grid: np.ndarray  # float32 [rows, columns]: where in the canvas, without its padding

    def __post_init__(self) -> None:
        check_array("Surprise.grid", self.grid, 2)
        if not self.values:
            raise ValueError("Surprise.values: expected a value for each view, got none")

    @property
    def value(self) -> float:
        """The largest of all views."""
        return max(self.values.values())


class Policy(Protocol):
    """A world-action policy: observation in, action chunk and imagined future out."""

    embodiment: Embodiment

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """Predict the next chunk.

        `committed`: rows that will be executed meanwhile and must come back unchanged.
        """

    def decode(self, prediction: Prediction) -> Future:
        """Decode the video of the predicted future (slow; call it off the action path)."""

    def reset(self) -> None:
        """Forget everything about the running episode."""


@runtime_checkable
class ReadsInstructions(Policy, Protocol):
    """A policy that says before it infers whether it can read an instruction."""

    def check_instruction(self, instruction: str) -> None:
        """ValueError, for whoever wrote it: too many tokens, or some that are not words."""


@runtime_checkable
class ForwardDynamics(Policy, Protocol):
    """A policy that can be asked what will be seen while a given chunk is played."""

    def imagine(self, observation: Observation, candidate: ActionChunk) -> Prediction:
        """What is seen after `observation` if the candidate is played; for `decode`.

        Its chunk is what the candidate says at the times of the embodiment's rows.
        """


class InverseDynamics(Protocol):
    """Says which commands lead through a video."""

    def infer_actions(self, frames: np.ndarray, observation: Observation) -> ActionChunk:
        """The commands between each canvas uint8 [T, H, W, 3] and the next, in T - 1 rows.

        observation: of the first one; only its state, instruction and stamp count.
        """


class GeneratesVideo(Protocol):
    """Makes videos that begin with what is observed."""

    frames: int  # the most

    def complete(self, prompt: str, frames: int = 0, seed: int = 0, **given: Any) -> Any:
        """A request for `generate`; ValueError names what is wrong with it."""

    def brief(self) -> Any:
        """A request of the most frames, of as few steps as show how long one takes."""

    def generate(
        self, request: Any, observation: Observation, pause: Callable[[int, int], None]
    ) -> Any:
        """The video, for `decode`; pause: called between two steps, without holding the model.

        It is told how many steps are done, of how many.
        """

    def decode(self, generated: Any, stamp: int) -> Future:
        """The video from the observation of `stamp` (ns) on."""


def warm_up(policy: Policy, instruction: str = "wait", times: int = 1) -> None:
    """Infer `times` chunks from gray pictures, so that the first real chunk is not late.

    Their results are thrown away.
    """
    for _ in range(times):
        policy.infer(gray_observation(policy.embodiment, instruction))
    policy.reset()


def gray_observation(embodiment: Embodiment, instruction: str) -> Observation:
    """Gray pictures and a neutral state at stamp 0, to warm up with."""
    gray = {
        panel.view: np.full((panel.height, panel.width, 3), 128, np.uint8)
        for panel in embodiment.canvas.panels
    }
    return Observation(gray, embodiment.neutral_state(), instruction, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A labeled box in one image; x and y in 0..1 from the top left corner."""

    label: str
    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """Some frames of a video of `fps` frames per second."""

    # uint8 [H, W, 3] each.
    frames: Sequence[np.ndarray]
    # int64 [n]: the index of each frame in the video.
    indices: np.ndarray
    fps: float


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the reasoner said, and its cost."""

    text: str
    thought: str = ""  # what came before the text, may be empty
    boxes: tuple[Box, ...] = ()  # that the text names
    tokens: int = 0
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of each stage
    # Probability that it begins with yes rather than with no, 0..1, from the scores of its first
    # token; NaN where it most likely begins with neither, or nobody knows (an endpoint that tells
    # no log-probabilities).
    yes: float = math.nan


class Reasoner(Protocol):
    """The text tower as a vision-language model."""

    def ask(
        self, question: str, images: Sequence[np.ndarray | Clip] = (), max_tokens: int = 128
    ) -> Answer:
        """Answer about `images` (uint8 [H, W, 3] each) and videos, greedily.

        In at most `max_tokens`.
        """


def warm_up_reasoner(
    reasoner: Reasoner, question: str = "What do you see?", pictures: int = 1
) -> None:
    """Ask about gray pictures, so that what is compiled and recorded is so before a real question.

    Two tokens: the second is a step of the decoding loop.
    """
    reasoner.ask(question, [np.full((480, 640, 3), 128, np.uint8)] * pictures, 2)
