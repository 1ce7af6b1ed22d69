# SPDX-License-Identifier: Apache-2.0
"""The denoising loop of every use of the generator: prompts read once, one velocity per step."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..language.captions import tokenize
from ..loaded_model import Model
from ..network.kv_cache import KVCache, Prompts
from ..network.layers import Rope, rope_table
from ..network.positions import generator_positions
from ..runtime.cuda_graph import CudaGraph
from .conditioning import DenoiserInput, flatten
from .guidance import BranchCombiner, Guidance
from .sampler import Schedule, Solver, denoise
from .velocities import Step, Velocities, plan_steps

Progress = Callable[[], None]  # called after each step of a loop


class Denoiser:
    """One loaded model as a sampler.

    Remembers the text tower's keys and values of the last few prompts. Where the model says
    `graphs`, the whole loop becomes a CUDA graph, if the schedule allows it. In a process group
    that splits guidance it computes one branch and has the other from the other process.
    """

    def __init__(self, model: Model, prompts: int = 8):
        self.model = model
        self._prompts: collections.OrderedDict[tuple[str, str], KVCache] = collections.OrderedDict()
        self._ropes: collections.OrderedDict[tuple, Rope] = collections.OrderedDict()
        self._loops: collections.OrderedDict[tuple, list[Any]] = collections.OrderedDict()
        self._keep = prompts

    def checked(self, text: str) -> str:
        """The text; ValueError if it is too long to be read."""
        if (text, "") not in self._prompts:
            tokenize(self.model.tokenizer, text)
        return text

    @torch.no_grad()
    def read(self, text: str, system: str = "") -> KVCache:
        """The prompt as the generator sees it; from memory if it was read before."""
        key = (text, system)
        if key not in self._prompts:
            tokens = tokenize(self.model.tokenizer, text, system=system)
            ids = torch.tensor([tokens], device=self.model.device)
            _remember(self._prompts, key, self.model.transformer.prefill(ids)[1], self._keep)
        self._prompts.move_to_end(key)
        return self._prompts[key]

    @torch.no_grad()
    def run(
        self,
        inputs: DenoiserInput,
        text: KVCache,
        negative: KVCache,
        schedule: Schedule,
        guidance: Guidance,
        seed: int = 0,
        full_steps: tuple[int, ...] = (),
        progress: Progress | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Denoise.

        Returns latents and actions in the shapes of `inputs`. seed: for the fresh noise of
        students; full_steps: see `check_full_steps`; progress: is called after each step, and
        keeps the loop from being recorded.
        """
        prompts = (Prompts((text,)), Prompts((negative,)))
        if progress:
            return _pair(
                self._loop(inputs, prompts, schedule, guidance, seed, full_steps, progress)
            )
        key = (*inputs.shape(), id(text), id(negative), schedule, guidance, full_steps)
        if key not in self._loops:
            if self.model.graphs and schedule.recordable:
                rows = (*prompts, Prompts((text, negative)))
                # With all that a recording will look at beside it, so that its place in memory is
                # not given away.
                kept = [(prompts, self._rope(inputs, row)) for row in rows]
                _remember(self._loops, key, [kept], self._keep)
            return _pair(self._loop(inputs, prompts, schedule, guidance, seed, full_steps))
        self._loops.move_to_end(key)
        if len(self._loops[key]) == 1:  # seen for the second time

            def loop(*tensors: Tensor) -> tuple[Tensor, ...]:
                filled = inputs.filled(tensors)
                return self._loop(filled, prompts, schedule, guidance, seed, full_steps)

            self._loops[key].append(CudaGraph(loop, inputs.tensors(), warm=True, shared=True))
        return _pair([found.clone() for found in self._loops[key][1](*inputs.tensors())])

    @torch.no_grad()
    def run_batch(
        self,
        inputs: Sequence[DenoiserInput],
        texts: Sequence[KVCache],
        negative: KVCache,
        schedule: Schedule,
        guidance: Guidance,
        full_steps: tuple[int, ...] = (),
    ) -> tuple[Tensor, Tensor]:
        """Denoise several inputs of one shape, each with a prompt of its own.

        Returns latents [B, C, T, h, w] and actions [B, rows, action_width].
        """
        batch, apart = DenoiserInput.joined(inputs), dataclasses.replace(guidance, batched=False)
        prompts = (Prompts(tuple(texts)), Prompts((negative,) * len(inputs)))
        latents, actions = self._loop(batch, prompts, schedule, apart, 0, full_steps)
        return latents, actions  # every input has actions

    def _loop(
        self,
        inputs: DenoiserInput,
        prompts: tuple[Prompts, Prompts],
        schedule: Schedule,
        guidance: Guidance,
        seed: int,
        full_steps: tuple[int, ...],
        progress: Progress | None = None,
    ) -> tuple[Tensor, ...]:
        """Latents and, if there are any, actions, from noise to clean."""
        velocities = Velocities(
            self.model.transformer, inputs, prompts, self._rope, guidance.batched, self.model.team
        )
        if schedule.rule != "unipc":
            return _follow_student(velocities, inputs, schedule, guidance, seed, progress)
        full = full_steps or range(len(schedule.times))
        video = Solver(inputs.latents, schedule.thinned(full), inputs.clean_latents())
        rows = None
        if inputs.actions is not None:
            rows = Solver(inputs.actions, schedule, inputs.clean_actions())
        combiner, row_combiner = BranchCombiner(guidance), BranchCombiner(guidance)
        for step in plan_steps(schedule, guidance, full_steps):
            said = velocities(video.sample, None if rows is None else rows.sample, step)
            if step.full:
                video.step(combiner.guided(*(one[0] for one in said if one[0] is not None)))
            if rows is not None:
                guided = row_combiner.guided(*(one[1] for one in said if one[1] is not None))
                rows.step(inputs.guide(rows.sample, guided, step.time))
            if progress:
                progress()
        return (video.sample,) if rows is None else (video.sample, rows.sample)

    def _rope(self, inputs: DenoiserInput, prompts: Prompts) -> Rope:
        """Rotations of the generator's tokens, by the prompts' lengths and the shape alone."""
        lengths = tuple(row.length for row in prompts.rows)
        rows = 0 if inputs.actions is None else inputs.actions.shape[1]
        shape = tuple(inputs.latents.shape[2:])
        clock = (inputs.fps, rows, inputs.first_row, inputs.scale_single)
        key = (lengths, shape, clock)
        if key not in self._ropes:
            transformer = self.model.transformer
            positions = [
                generator_positions(transformer.config, length, shape, *clock) for length in lengths
            ]
            table = rope_table(
                torch.stack(positions).to(transformer.device), transformer.config, transformer.dtype
            )
            _remember(self._ropes, key, table, 3 * self._keep)
        # the oldest one goes: not one that is used, a graph could not make it anew
        self._ropes.move_to_end(key)
        return self._ropes[key]


def check_full_steps(full_steps: tuple[int, ...], schedule: Schedule) -> None:
    """ValueError unless these steps of the schedule may be those that compute the video too.

    Between them the action rows move alone, beside the keys and values that the last full step
    kept; () stands for all steps, each of them full.
    """
    count = len(schedule.times)
    if not full_steps:
        return
    if schedule.rule != "unipc":
        raise ValueError(
            f"full_steps: expected none for a few-step student (its steps are {schedule.rule!r}), "
            f"got {list(full_steps)}"
        )
    if list(full_steps) != sorted({*full_steps}) or full_steps[0] != 0 or full_steps[-1] >= count:
        raise ValueError(
            f"full_steps: expected rising steps that begin with 0, of {count} steps (the last one "
            f"is {count - 1}), got {list(full_steps)}"
        )


def _follow_student(
    velocities: Velocities,
    inputs: DenoiserInput,
    schedule: Schedule,
    guidance: Guidance,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Tensor, ...]:
    """The loop of a student, whose fresh noise is one draw for latents and actions."""
    combiner = BranchCombiner(guidance)

    def velocity(flat: Tensor, time: float) -> Tensor:
        latents, actions = inputs.split(flat)
        guided = guidance.applies(time)
        said = velocities(latents, actions, Step(time, True, False, guided, guided))
        if progress:
            progress()
        parts = [[part for part in one if part is not None] for one in said]
        moved = combiner.guided(*(torch.cat([part.flatten() for part in one]) for one in parts))
        vision, action = inputs.split(moved)
        if actions is None or action is None:
            return moved
        return flatten(vision, inputs.guide(actions, action, time))

    found = inputs.split(denoise(inputs.flat(), velocity, schedule, inputs.clean(), seed))
    return tuple(part for part in found if part is not None)


def _pair(found: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    return found[0], found[1] if len(found) > 1 else None


def numpy_noise(shape: tuple[int, ...], seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal float32 from numpy's legacy generator, as the released policies draw it.

    They draw anew per modality.
    """
    noise = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(noise.astype(np.float32)).to(device)


def _remember(memory: collections.OrderedDict, key: tuple, value: object, most: int) -> None:
    memory[key] = value
    while len(memory) > most:
        memory.popitem(last=False)
