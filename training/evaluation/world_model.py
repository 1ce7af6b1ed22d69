# SPDX-License-Identifier: Apache-2.0
"""The world model: predicted frames, forward and inverse dynamics against the simulation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...model.interface import ActionChunk, Observation, Policy
from ...sim.env import Env, shared_env
from ..data.demonstrations import Demonstration, record
from ..data.episodes import Episode
from .image_metrics import Likeness, compare

if TYPE_CHECKING:
    from ...model.policy import Cosmos3Policy

CHUNKS = 3  # that are imagined and played from the beginning of an episode


@dataclasses.dataclass(frozen=True, slots=True)
class ActionErrors:
    """Of the actions that the model reads out of a video.

    still: if it always said that the arm stays where it is.

    arm, still: mean absolute error, mrad; grip: share of the rows in which the gripper is told open
    or closed rightly.
    """

    arm: float
    still: float
    grip: float


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """Of one episode. own: the policy's futures against what its chunks did.

    forward: those of a demonstration.

    autoencoder: the demonstration only encoded and decoded, so the best that its futures can be;
    pictures: uint8 [2, T, H, W, 3], what happened and what was imagined in the last chunk of `own`.
    """

    task: str
    seed: int
    own: list[Likeness]
    forward: list[Likeness]
    autoencoder: list[Likeness]
    inverse: list[ActionErrors]
    pictures: np.ndarray
    fps: float


def look_ahead(policy: Cosmos3Policy, env: Env, wanted: Demonstration) -> Findings:
    """Compare for one task and seed.

    Nothing of a demonstration in which the expert failed. env: of the same size.
    """
    fps = policy.embodiment.fps
    env.reset(wanted.task, wanted.seed)
    policy.reset()
    own, forward, autoencoder, inverse = [], [], [], []
    pictures = np.zeros(0)
    for imagined, real in own_futures(policy, env):
        own += compare(imagined, real, fps)
        pictures = np.stack([real, imagined])
    episode = record(dataclasses.replace(wanted, noise=0.0, astray=0.0, scatter=0.0))
    for window in windows(policy, episode) if episode else ():
        forward += compare(forward_dynamics(policy, window), window.frames, fps)
        autoencoder += compare(reconstruct(policy, window.frames), window.frames, fps)
        inverse.append(action_errors(policy, window))
    return Findings(wanted.task, wanted.seed, own, forward, autoencoder, inverse, pictures, fps)


def own_futures(policy: Policy, env: Env) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predicted and real frames of each chunk, played to its end without delay.

    Each uint8 [horizon + 1, H, W, 3]; the simulation stands still while the policy infers.
    """
    seen = env.observe()
    for _ in range(CHUNKS):
        prediction = policy.infer(seen)
        imagined, real = policy.decode(prediction).frames, [_canvas(policy, seen.images)]
        for row in prediction.chunk.values:
            seen = env.step(row)
            real.append(_canvas(policy, seen.images))
        yield imagined, np.stack(real)


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """One chunk of a demonstration."""

    observation: Observation  # at its beginning
    rows: np.ndarray  # float32 [horizon, D]
    frames: np.ndarray  # uint8 [horizon + 1, H, W, 3], the first one is that of the observation


def windows(policy: Policy, episode: Episode, every: int = 0) -> Iterator[Window]:
    """One after the other, as long as they fit; every: rows from one to the next, if given."""
    length = policy.embodiment.horizon
    for start in range(0, len(episode) - length, every or length):
        steps = range(start, start + length + 1)
        images = [{view: frames[step] for view, frames in episode.views.items()} for step in steps]
        seen = Observation(images[0], episode.states[start], episode.instructions[0], 0)
        frames = np.stack([_canvas(policy, views) for views in images])
        yield Window(seen, episode.actions[start : start + length], frames)


def forward_dynamics(policy: Policy, window: Window) -> np.ndarray:
    """The frames predicted for the rows that were really played: every row is frozen."""
    embodiment = policy.embodiment
    chunk = ActionChunk(
        window.rows,
        embodiment.action_names,
        window.observation.stamp,
        embodiment.step,
        embodiment.discrete,
    )
    return policy.decode(policy.infer(window.observation, committed=chunk)).frames


def action_errors(policy: Cosmos3Policy, window: Window) -> ActionErrors:
    """The errors of inverse dynamics in one window."""
    said = inverse_dynamics(policy, window)
    embodiment = policy.embodiment
    gripper = np.array([column.gripper for column in embodiment.action])
    still = np.broadcast_to(window.observation.state, window.rows.shape)
    arm, stays = (
        1000 * float(np.abs(rows - window.rows)[:, ~gripper].mean()) for rows in (said, still)
    )
    grip = (said[:, gripper] > 0.5) == (window.rows[:, gripper] > 0.5)
    return ActionErrors(arm, stays, float(grip.mean()))


def inverse_dynamics(policy: Cosmos3Policy, window: Window) -> np.ndarray:
    """The rows predicted from the frames, in robot units: all frames and the state are given."""
    from ...model.dynamics import Dynamics

    return Dynamics(policy).infer_actions(window.frames, window.observation).values


def reconstruct(policy: Cosmos3Policy, frames: np.ndarray) -> np.ndarray:
    """The frames after the autoencoder alone."""
    from ...model.dynamics import Dynamics

    return Dynamics(policy).reconstruct(frames)


def _canvas(policy: Policy, images: Any) -> np.ndarray:
    """What the model sees of the views, without padding."""
    height, width = policy.embodiment.canvas.content
    return policy.embodiment.compose(images)[:height, :width]


@dataclasses.dataclass(frozen=True, slots=True)
class WorldModelTrial:
    """A job for a process of its own: `look_ahead` with this checkpoint."""

    checkpoint: str
    wanted: Demonstration
    options: tuple[tuple[str, Any], ...] = ()  # of PolicyOptions
    device: str = "cpu"  # of the policy
    dtype: str = "float32"
    runtime: tuple[tuple[str, Any], ...] = ()  # of PolicyModelParams


def run_world_model_trial(trial: WorldModelTrial) -> Findings:
    """`look_ahead`; policy and simulation are made once per process."""
    from .closed_loop import load_once

    policy: Any = load_once(
        trial.checkpoint, trial.options, trial.device, trial.dtype, trial.runtime
    )
    env = shared_env(trial.wanted.task, distractors=trial.wanted.distractors)
    return look_ahead(policy, env, trial.wanted)
