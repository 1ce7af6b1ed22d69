# SPDX-License-Identifier: Apache-2.0
"""The denoising loop of every use of the generator: prompts read once, one velocity per step."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..language.captions import tokenize
from ..loaded_model import Model
from ..network.kv_cache import KVCache, Prompts
from ..network.layers import Rope, rope_table
from ..network.transformer import generator_positions
from ..runtime.cuda_graph import CudaGraph
from .conditioning import DenoiserInput
from .guidance import BranchCombiner, Guidance
from .sampler import Schedule, denoise


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
    ) -> tuple[Tensor, Tensor | None]:
        """Denoise.

        Returns latents and actions in the shapes of `inputs`. seed: for the fresh noise of
        students.
        """
        prompts = Prompts((text, negative))
        key = (*inputs.shape(), id(text), id(negative), schedule, guidance)
        if key not in self._loops:
            if self.model.graphs and schedule.recordable:
                rows = (prompts, Prompts((text,)), Prompts((negative,)))
                # With all that a recording will look at beside it, so that its place in memory is
                # not given away.
                kept = [(prompts, self._rope(inputs, row)) for row in rows]
                _remember(self._loops, key, [kept], self._keep)
            return inputs.split(self._loop(inputs, prompts, schedule, guidance, seed))
        self._loops.move_to_end(key)
        if len(self._loops[key]) == 1:  # seen for the second time

            def loop(*tensors: Tensor) -> tuple[Tensor, ...]:
                return (self._loop(inputs.filled(tensors), prompts, schedule, guidance, seed),)

            self._loops[key].append(CudaGraph(loop, inputs.tensors(), warm=True, shared=True))
        return inputs.split(self._loops[key][1](*inputs.tensors())[0].clone())

    @torch.no_grad()
    def run_batch(
        self,
        inputs: Sequence[DenoiserInput],
        texts: Sequence[KVCache],
        negative: KVCache,
        schedule: Schedule,
        guidance: Guidance,
    ) -> tuple[Tensor, Tensor]:
        """Denoise several inputs of one shape, each with a prompt of its own.

        Returns latents [B, C, T, h, w] and actions [B, rows, action_width].
        """
        batch = DenoiserInput.joined(inputs)
        prompts, other = Prompts(tuple(texts)), Prompts((negative,) * len(inputs))
        combiner = BranchCombiner(guidance)
        count = inputs[0].latents.numel()

        def branch(flat: Tensor, time: float, rows: Prompts) -> Tensor:
            found = self.velocity(batch, flat, time, rows)  # [B, numbers of one input]
            latents, actions = found.split([count, found.shape[1] - count], dim=1)
            return torch.cat([latents.flatten(), actions.flatten()])

        def velocity(flat: Tensor, time: float) -> Tensor:
            conditional = branch(flat, time, prompts)
            applies = guidance.applies(time)
            return combiner.guided(conditional, branch(flat, time, other) if applies else None)

        latents, actions = batch.split(denoise(batch.flat(), velocity, schedule, batch.clean()))
        assert actions is not None  # every input has actions
        return latents, actions

    def _loop(
        self,
        inputs: DenoiserInput,
        prompts: Prompts,
        schedule: Schedule,
        guidance: Guidance,
        seed: int,
    ) -> Tensor:
        combiner = BranchCombiner(guidance)

        def velocity(flat: Tensor, time: float) -> Tensor:
            branches = self._branches(inputs, flat, time, prompts, guidance)
            return inputs.guide(flat, combiner.guided(*branches), time)

        return denoise(inputs.flat(), velocity, schedule, inputs.clean(), seed)

    def _branches(
        self,
        inputs: DenoiserInput,
        flat: Tensor,
        time: float,
        prompts: Prompts,
        guidance: Guidance,
    ) -> list[Tensor]:
        """The velocity for the prompt and, where guidance applies, that for the negative one."""
        alone, other = Prompts(prompts.rows[:1]), Prompts(prompts.rows[1:])
        group = self.model.team
        if not guidance.applies(time):
            return [self.velocity(inputs, flat, time, alone)[0]]
        if group and group.branch is not None:
            mine = self.velocity(inputs, flat, time, other if group.branch else alone)
            return [*group.exchange(mine)]
        if guidance.batched:
            return [*self.velocity(inputs, flat, time, prompts)]
        return [self.velocity(inputs, flat, time, rows)[0] for rows in (alone, other)]

    def velocity(
        self, inputs: DenoiserInput, flat: Tensor, time: float, prompts: Prompts
    ) -> Tensor:
        """What the network says for each prompt: [prompts, numbers of one input]."""
        count = len(prompts.rows)
        latents, actions = inputs.split(flat)
        noisy_rows = None if inputs.clean_rows is None else ~inputs.clean_rows
        vision, action = self.model.transformer.velocity(
            latents.expand(count, -1, -1, -1, -1),
            torch.full((count,), time, device=flat.device),
            prompts,
            self._rope(inputs, prompts),
            ~inputs.clean_frames,
            None if actions is None else actions.expand(count, -1, -1),
            noisy_rows,
            torch.full((count,), inputs.domain, device=flat.device),
        )
        if action is None:
            return vision.flatten(1)
        return torch.cat([vision.flatten(1), action.flatten(1)], dim=1)

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
