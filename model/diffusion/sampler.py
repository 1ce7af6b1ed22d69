# SPDX-License-Identifier: Apache-2.0
"""From noise to sample: noise schedules, UniPC, and the fixed steps of distilled students.

A sample at noise level s is s * noise + (1 - s) * clean; the network predicts its velocity, noise -
clean.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]  # sample, network time -> velocity


@dataclasses.dataclass(frozen=True, slots=True)
class Schedule:
    """Noise levels to go through, the network times at each, and the rule of the steps."""

    sigmas: tuple[float, ...]  # N + 1 noise levels, the last one 0
    times: tuple[float, ...]  # of the first N levels
    # "unipc", or for distilled students "sde" (fresh noise in every step) or "ode" (straight on)
    rule: str = "unipc"

    def __post_init__(self) -> None:
        if self.rule not in ("unipc", "sde", "ode"):
            raise ValueError(f"Schedule.rule: expected 'unipc', 'sde' or 'ode', got {self.rule!r}")
        if len(self.sigmas) != len(self.times) + 1 or self.sigmas[-1] != 0 or len(self.times) == 0:
            raise ValueError(
                f"Schedule.sigmas: expected {len(self.times) + 1} levels ending in 0, got "
                f"{self.sigmas}"
            )

    @property
    def recordable(self) -> bool:
        """Whether its loop may become a CUDA graph; students draw fresh noise in every step."""
        return self.rule == "unipc"

    def thinned(self, steps: Sequence[int]) -> Schedule:
        """Only the levels of these steps, then 0."""
        sigmas, times = ([levels[step] for step in steps] for levels in (self.sigmas, self.times))
        return Schedule((*sigmas, 0.0), tuple(times), self.rule)


def _schedule(sigmas: np.ndarray) -> Schedule:
    """UniPC over these levels: whole numbers as network times, the exact levels in the solver."""
    times = (sigmas * 1000).astype(np.int64).astype(float)
    return Schedule((*sigmas.astype(np.float32).tolist(), 0.0), tuple(times.tolist()))


def flow_schedule(steps: int, shift: float = 5.0, native: bool = True) -> Schedule:
    """Evenly spaced levels, pushed towards noise by `shift`.

    native: from 0.999 down, as trained, else from 1.
    """
    _check_steps(steps)
    if shift <= 0:
        raise ValueError(f"shift: expected a positive number, got {shift}")
    even = (
        np.linspace(0.999, 0.0, steps + 1)[:-1]
        if native
        else np.linspace(1.0, 0.001, steps + 1)[:-1]
    )
    sigmas = shift * even / (1 + (shift - 1) * even)
    # at exactly 1 there is no signal and its logarithm is infinite
    sigmas[0] = min(sigmas[0], 1 - 1e-6)
    return _schedule(sigmas)


def karras_schedule(steps: int, sigma_max: float = 200.0, sigma_min: float = 0.147) -> Schedule:
    """Karras' ramp (power 7, arXiv 2206.00364) between two noise-to-signal ratios.

    The Nano and Super checkpoints ship it.
    """
    _check_steps(steps)
    ramp = np.linspace(0, 1, steps)
    ratio = (sigma_max ** (1 / 7) + ramp * (sigma_min ** (1 / 7) - sigma_max ** (1 / 7))) ** 7
    return _schedule(ratio / (ratio + 1))


def fixed_schedule(levels: Sequence[float], rule: str = "sde") -> Schedule:
    """The levels a distilled student was trained at; a trailing 0 may be left out."""
    kept = tuple(float(level) for level in levels if level > 0)
    return Schedule((*kept, 0.0), tuple(1000 * level for level in kept), rule)


def checkpoint_schedule(scheduler: Mapping[str, Any], steps: int, native: bool = False) -> Schedule:
    """What a checkpoint's scheduler_config.json asks for.

    native: model_index.json says use_native_flow_schedule.
    """
    if fixed := scheduler.get("fixed_step_sampler_config"):
        return _student_schedule(fixed)
    if scheduler.get("use_karras_sigmas"):
        most = _positive(scheduler, "sigma_max", 200.0)
        return karras_schedule(steps, most, _positive(scheduler, "sigma_min", 0.147))
    if (
        not scheduler.get("use_flow_sigmas")
        or scheduler.get("prediction_type") != "flow_prediction"
    ):
        raise ValueError(
            "scheduler_config.json: expected use_flow_sigmas true and prediction_type "
            f"flow_prediction, got {scheduler.get('use_flow_sigmas')!r:.60} and "
            f"{scheduler.get('prediction_type')!r:.60}"
        )
    return flow_schedule(steps, _positive(scheduler, "flow_shift", 1.0), native)


def _positive(scheduler: Mapping[str, Any], name: str, usual: float) -> float:
    value = scheduler.get(name) or usual
    if type(value) not in (int, float) or not 0 < value < 1e9:
        raise ValueError(
            f"scheduler_config.json: {name}: expected a positive number, got {value!r:.60}"
        )
    return float(value)


def _student_schedule(fixed: Any) -> Schedule:
    levels: Any = fixed.get("t_list") if isinstance(fixed, dict) else None
    known = isinstance(levels, list) and all(type(level) in (int, float) for level in levels)
    if not known or not any(levels) or not all(0 <= level <= 1 for level in levels):
        raise ValueError(
            "scheduler_config.json: fixed_step_sampler_config.t_list: expected noise levels from 0 "
            f"to 1, got {levels!r:.60}"
        )
    rule = fixed.get("sample_type", "sde")
    if rule not in ("sde", "ode"):
        raise ValueError(
            "scheduler_config.json: fixed_step_sampler_config.sample_type: expected 'sde' or "
            f"'ode', got {rule!r:.60}"
        )
    return fixed_schedule(levels, rule)


def denoise(
    sample: Tensor,
    velocity: Velocity,
    schedule: Schedule,
    clean: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Follow `schedule` from `sample` (float32, any shape) to the clean sample.

    clean: bool like `sample`, True where it must stay as it is; seed: of the fresh noise of an
    "sde" schedule.
    """
    if schedule.rule != "unipc":
        return _student(sample, velocity, schedule, clean, seed)
    solver = Solver(sample, schedule, clean)
    for time in schedule.times:
        solver.step(velocity(solver.sample, time))
    return solver.sample


def _keep(clean: Tensor | None, start: Tensor, new: Tensor) -> Tensor:
    return new if clean is None else torch.where(clean, start, new)


class Solver:
    """UniPC (arXiv 2302.04867) of order 2, variant bh2, predicting the clean sample, step by step.

    Each step corrects the last step with what the network says now, then predicts the next with the
    same history. The order drops to 1 at both ends. Parts of a sample that go through different
    levels have a solver each.

    sample: where the network is asked next; clean: bool that broadcasts to it, see `denoise`.
    """

    def __init__(self, start: Tensor, schedule: Schedule, clean: Tensor | None = None):
        self.sample = self._start = self._before = start
        self._sigmas, self._clean, self._step = schedule.sigmas, clean, 0
        # half the log signal-to-noise ratio
        self._logs = [math.inf if s == 0 else math.log1p(-s) - math.log(s) for s in self._sigmas]
        self._guesses: list[Tensor] = []  # of the clean sample, at the last two predicted samples

    def step(self, velocity: Tensor) -> None:
        """Go to the next level, with the network's velocity at `sample`."""
        step, sigmas, logs = self._step, self._sigmas, self._logs
        sample, guess = self.sample, self.sample - sigmas[step] * velocity
        if step > 0:
            moved = _correct(self._before, guess, self._guesses, sigmas, logs, step)
            sample = _keep(self._clean, self._start, moved)
        self._guesses = [*self._guesses[-1:], guess]
        self._before = sample
        final = step == len(sigmas) - 2
        moved = _predict(sample, self._guesses, sigmas, logs, step, final)
        self.sample = _keep(self._clean, self._start, moved)
        self._step += 1


def _predict(
    sample: Tensor,
    guesses: list[Tensor],
    sigmas: Sequence[float],
    logs: Sequence[float],
    step: int,
    final: bool,
) -> Tensor:
    """From level `step` to the next; first order with one guess or at the end, else second."""
    h = logs[step + 1] - logs[step]
    weight = (1 - sigmas[step + 1]) * math.expm1(-h)
    moved = sigmas[step + 1] / sigmas[step] * sample - weight * guesses[-1]
    if final or len(guesses) == 1:
        return moved
    r = (logs[step - 1] - logs[step]) / h
    return moved - weight * 0.5 / r * (guesses[-2] - guesses[-1])


def _correct(
    before: Tensor,
    guess: Tensor,
    guesses: list[Tensor],
    sigmas: Sequence[float],
    logs: Sequence[float],
    step: int,
) -> Tensor:
    """Redo the step that led to level `step`, now that the network's guess there is known."""
    h = logs[step] - logs[step - 1]
    e = math.expm1(-h)
    weight = (1 - sigmas[step]) * e
    moved = sigmas[step] / sigmas[step - 1] * before - weight * guesses[-1]
    if len(guesses) == 1:
        return moved - weight * 0.5 * (guess - guesses[-1])
    r = (logs[step - 2] - logs[step - 1]) / h
    phi = -e / h - 1
    first, second = phi / e, 2 * (-phi / h - 0.5) / e
    older = (first - second) / (1 - r)
    return moved - weight * (
        older / r * (guesses[-2] - guesses[-1]) + (first - older) * (guess - guesses[-1])
    )


def _student(
    start: Tensor, velocity: Velocity, schedule: Schedule, clean: Tensor | None, seed: int
) -> Tensor:
    """A distilled student: guess the clean sample, noise it again to the next level, and so on."""
    sample = start
    for step, time in enumerate(schedule.times):
        now, after = schedule.sigmas[step : step + 2]
        direction = velocity(sample, time)
        guess = sample - now * direction
        if after == 0:
            sample = guess
        elif schedule.rule == "ode":
            sample = sample + (after - now) * direction
        else:
            generator = torch.Generator(sample.device).manual_seed(seed + step)
            fresh = torch.randn(
                sample.shape, generator=generator, device=sample.device, dtype=sample.dtype
            )
            sample = (1 - after) * guess + after * fresh
        sample = _keep(clean, start, sample)
    return sample


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"num_steps: expected at least 1, got {steps}")
