# SPDX-License-Identifier: Apache-2.0
"""How far a policy's guess of the expert's rows is off, at each noise level.

It tells policies apart where all solve the closed loop.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.demonstrations import Demonstration, record
from ..data.parallel import in_parallel
from .closed_loop import load_once
from .suite import about
from .world_model import Window, windows

if TYPE_CHECKING:
    from ...model.policy import Cosmos3Policy

# What the frames to come are beside the rows: blended with noise at the rows' level, as in
# training; noise alone at every level, so that nothing can be seen in them; not computed at all.
TRUE, NOISE, NONE = "true", "noise", "none"
VIDEOS = (TRUE, NOISE, NONE)


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorTrial:
    """A demonstration, at whose windows the policy is asked."""

    checkpoint: str
    wanted: Demonstration
    options: tuple[tuple[str, Any], ...] = ()  # of PolicyOptions
    levels: tuple[float, ...] = ()  # of noise, 0 to 1; none: those of the policy's own steps
    device: str = "cpu"  # of the policy
    dtype: str = "float32"
    runtime: tuple[tuple[str, Any], ...] = ()  # of PolicyModelParams


@dataclasses.dataclass(frozen=True, slots=True)
class Errors:
    """Of one demonstration; errors: (video, level) -> float32 [windows, rows, joints], mrad."""

    task: str
    seed: int
    errors: Mapping[tuple[str, float], np.ndarray]


class Guesses:
    """What a policy takes the clean rows of a window for, seeing noisy ones."""

    def __init__(self, policy: Cosmos3Policy, window: Window, seed: int = 0) -> None:
        """seed: of the noise."""
        import torch

        from ...model.diffusion.denoiser import numpy_noise
        from ...model.dynamics import Dynamics

        self._policy, self._state = policy, window.observation.state
        noise, row_noise = (
            numpy_noise(shape, seed) for shape in ((1, *policy.latent_shape), policy.row_shape)
        )
        self._video = Dynamics(policy).encode(window.frames)
        # all noise but the seen frame and the state
        self._start = policy.denoiser_input(self._video[:, :, :1], self._state, noise, row_noise)
        assert self._start.actions is not None  # it has rows
        self._rows = torch.zeros_like(self._start.actions)
        embodiment = policy.embodiment
        encoded = torch.from_numpy(embodiment.encode_actions(window.rows, self._state))
        self._first = int(embodiment.state_row)
        self._rows[0, self._first :, : encoded.shape[1]] = encoded
        self._text = policy.denoiser.read(policy.caption(window.observation.instruction))

    def at(self, level: float, video: str) -> np.ndarray:
        """From the expert's rows blended with noise at a level: float32 [rows, D], robot units.

        video: one of VIDEOS.
        """
        import torch

        from ...model.diffusion.guidance import Guidance
        from ...model.diffusion.sampler import Schedule

        start, policy = self._start, self._policy
        assert start.actions is not None  # as above
        assert start.clean_rows is not None
        mixed = level * start.actions + (1 - level) * self._rows
        actions = torch.where(start.clean_rows[:, None], start.actions, mixed)
        latents = start.latents
        if video == TRUE:
            blend = level * latents + (1 - level) * self._video[:, :, : latents.shape[2]]
            latents = torch.where(start.clean_frames[:, None, None], latents, blend)
        inputs = dataclasses.replace(start, latents=latents, actions=actions)
        inputs = inputs.without_future() if video == NONE else inputs
        step = Schedule((level, 0.0), (1000 * level,))  # one step to the end
        guess = policy.denoiser.run(inputs, self._text, self._text, step, Guidance(1.0))[1]
        assert guess is not None  # as above
        rows = guess[0, self._first :, : policy.embodiment.width].float().cpu().numpy()
        return policy.embodiment.decode_actions(rows, self._state)


def run_error_trial(trial: ErrorTrial) -> Errors:
    """All windows of one demonstration; nothing if the expert failed."""
    policy: Any = load_once(
        trial.checkpoint, trial.options, trial.device, trial.dtype, trial.runtime
    )
    levels = trial.levels or policy.schedule.sigmas[:-1]
    wanted = dataclasses.replace(trial.wanted, noise=0.0, astray=0.0, scatter=0.0)
    episode = record(wanted)
    arm = np.array([not column.gripper for column in policy.embodiment.action])
    found: dict[tuple[str, float], list[np.ndarray]] = {}
    for number, window in enumerate(windows(policy, episode) if episode else ()):
        guesses = Guesses(policy, window, seed=number)
        for video, level in itertools.product(VIDEOS, levels):
            error = 1000 * np.abs(guesses.at(level, video) - window.rows)[:, arm]
            found.setdefault((video, round(level, 4)), []).append(error)
    return Errors(
        wanted.task, wanted.seed, {key: np.stack(errors) for key, errors in found.items()}
    )


def expert_error(
    trials: Sequence[ErrorTrial], workers: int = 0, tell: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """One row for each video and level: windows, median and root mean square, mrad.

    Of the absolute errors of all joints and rows of all windows. ValueError without any window.
    """
    found: dict[tuple[str, float], list[np.ndarray]] = {}
    for number, one in enumerate(in_parallel(run_error_trial, trials, workers), 1):
        tell(f"{number}/{len(trials)}  {one.task} {one.seed}: compared with the expert")
        for key, errors in one.errors.items():
            found.setdefault(key, []).append(errors)
    if not found:
        raise ValueError("expert error: expected demonstrations of at least one chunk, got none")
    joined = {key: np.concatenate(errors) for key, errors in found.items()}
    return [
        {
            "video": video,
            "level": level,
            "windows": len(errors),
            "median": float(np.median(errors)),
            "rms": float(np.sqrt(np.mean(np.square(errors)))),
        }
        for (video, level), errors in sorted(
            joined.items(), key=lambda one: (one[0][0], -one[0][1])
        )
    ]


def error_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What `expert_error` found as text: a line for each video, a column for each level."""
    levels = sorted({row["level"] for row in rows}, reverse=True)
    said = {(row["video"], row["level"]): f"{row['median']:.1f} ({row['rms']:.1f})" for row in rows}
    lines = [f"{'video':8}" + "".join(f"{f's = {level:g}':>16}" for level in levels)]
    lines += [
        f"{video:8}" + "".join(f"{said.get((video, level), '-'):>16}" for level in levels)
        for video in VIDEOS
    ]
    windows_ = max(row["windows"] for row in rows)
    return "\n".join([*lines, f"median (rms) mrad over {windows_} windows"])


def report_errors(
    trials: Sequence[ErrorTrial],
    workers: int = 0,
    out: Path | None = None,
    tell: Callable[[str], None] = print,
) -> str:
    """Measure, write the rows to the json `out`, and return the table as text."""
    from ...model.checkpoint_io.json_file import write_json

    began = datetime.datetime.now(datetime.UTC)
    rows = expert_error(trials, workers, tell)
    if out:
        write_json(out, {"expert error": rows, "about": about(began)})
    return error_table(rows)
