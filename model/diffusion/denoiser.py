# SPDX-License-Identifier: Apache-2.0
"""The denoising loop that every use of the generator shares: prompts read once, guidance, one velocity per step."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checkpoint_io.loader import Model
from ..language.captions import tokenize
from ..network.kv_cache import KVCache, Prompts
from ..network.layers import Rope, rope_table
from ..network.transformer import generator_positions
from ..runtime.cuda_graph import CudaGraph
from .sampler import Schedule, denoise


@dataclasses.dataclass(frozen=True, slots=True)
class RtcTarget:
    """Action rows to draw the sample towards: rows float32 [1, rows, action_width], weights float32 [rows], 0 to 1.

    Guided inpainting as in real-time chunking (arXiv 2506.07339), the network's derivative taken as
    the identity, so that nothing is propagated back; a step corrects its guess by the whole
    difference at most, because steps are few.
    """

    rows: Tensor
    weights: Tensor

    def bend(self, actions: Tensor, speed: Tensor, time: float) -> Tensor:
        """The network's velocity at `actions`, bent so that its guess of the clean rows comes nearer to the wish."""
        sigma = time / 1000
        guess = actions - sigma * speed
        strength = min(1.0, ((1 - sigma) ** 2 + sigma**2) / max(1 - sigma, 1e-3))
        return speed - strength / sigma * self.weights[:, None] * (self.rows - guess)


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Where denoising starts: what is known in its place, noise elsewhere.

    latents float32 [1, C, T, h, w]; clean_frames bool [T]; actions float32 [1, rows, action_width];
    clean_rows bool [rows]; width: action channels in use, the others are 0; first_row,
    scale_single: see `generator_positions`.
    """

    latents: Tensor
    clean_frames: Tensor
    fps: float
    actions: Tensor | None = None
    clean_rows: Tensor | None = None
    width: int = 0
    first_row: int = 1
    domain: int = 0
    scale_single: bool = True
    wish: RtcTarget | None = None

    def flat(self) -> Tensor:
        """Latents and actions as one vector."""
        parts = [self.latents] if self.actions is None else [self.latents, self.actions]
        return torch.cat([part.flatten() for part in parts])

    def split(self, flat: Tensor) -> tuple[Tensor, Tensor | None]:
        """The inverse of `flat`."""
        count = self.latents.numel()
        actions = None if self.actions is None else flat[count:].view_as(self.actions)
        return flat[:count].view_as(self.latents), actions

    def bend(self, flat: Tensor, speed: Tensor, time: float) -> Tensor:
        """A velocity of `flat` with its actions bent towards the wish, if there is one."""
        if self.wish is None or time == 0:
            return speed
        latents, bent = self.split(speed)
        actions = self.split(flat)[1]
        assert actions is not None  # a wish is about actions
        assert bent is not None
        return torch.cat([latents.flatten(), self.wish.bend(actions, bent, time).flatten()])

    def tensors(self) -> list[Tensor]:
        """All that changes from one observation to the next."""
        wish = () if self.wish is None else (self.wish.rows, self.wish.weights)
        parts = (self.latents, self.clean_frames, self.actions, self.clean_rows, *wish)
        return [part for part in parts if part is not None]

    def filled(self, tensors: Sequence[Tensor]) -> Start:
        """The same with other `tensors`."""
        rest = iter(tensors)
        latents, clean_frames = next(rest), next(rest)
        actions, clean_rows = (
            None if part is None else next(rest) for part in (self.actions, self.clean_rows)
        )
        wish = None if self.wish is None else RtcTarget(next(rest), next(rest))
        parts = {
            "latents": latents,
            "clean_frames": clean_frames,
            "actions": actions,
            "clean_rows": clean_rows,
        }
        return dataclasses.replace(self, **parts, wish=wish)  # type: ignore[arg-type]

    def decided(self, actions: Tensor) -> Start:
        """The same known frames with these rows, all of them known: forward dynamics, begun at the mean of the noise.

        What is drawn from there is nearer to what happens than one of many futures, and is always
        the same.
        """
        assert self.clean_rows is not None  # it has actions
        latents = torch.where(self.clean_frames[:, None, None], self.latents, 0)
        known = torch.ones_like(self.clean_rows)
        return dataclasses.replace(
            self, latents=latents, actions=actions, clean_rows=known, wish=None
        )

    def shape(self) -> tuple[Hashable, ...]:
        """All that does not, and the shapes of what does."""
        shapes = tuple(tensor.shape for tensor in self.tensors())
        return (
            shapes,
            self.fps,
            self.width,
            self.first_row,
            self.domain,
            self.scale_single,
            self.wish is None,
        )

    def clean(self) -> Tensor:
        """Which numbers of `flat` must not change."""
        frames = self.clean_frames[:, None, None].expand_as(self.latents)
        if self.actions is None or self.clean_rows is None:
            return frames.flatten()
        unused = torch.arange(self.actions.shape[2], device=self.actions.device) >= self.width
        rows = self.clean_rows[:, None] | unused
        return torch.cat([frames.flatten(), rows.flatten()])


@dataclasses.dataclass(frozen=True, slots=True)
class Guidance:
    """How hard to push away from the negative prompt: 1 means not at all.

    interval: only at network times strictly inside it. batched: both prompts in one pass, which
    pays where a pass is too small to fill the device. precise: combine in float32 as diffusers
    does, else in the network's dtype as trained. reuse: outside the interval push on in the last
    direction, as an approximation that costs nothing.
    """

    scale: float = 3.0
    interval: tuple[float, float] | None = None
    batched: bool = False
    precise: bool = False
    reuse: bool = False

    def applies(self, time: float) -> bool:
        """Whether the negative prompt is needed at this time."""
        inside = self.interval is None or self.interval[0] < time < self.interval[1]
        return self.scale != 1.0 and inside


class Denoiser:
    """One loaded model as a sampler.

    Remembers the text tower's keys and values of the last few prompts.

    Where the model says `graphs`, the whole loop becomes a CUDA graph (but not that of students,
    who draw fresh noise). In a team that splits guidance it computes one branch and has the other
    from the other process.
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
        start: Start,
        text: KVCache,
        negative: KVCache,
        schedule: Schedule,
        guidance: Guidance,
        seed: int = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """Denoise.

        Returns latents and actions in the shapes of `start`. seed: for the fresh noise of students.
        """
        prompts = Prompts((text, negative))
        key = (*start.shape(), id(text), id(negative), schedule, guidance)
        if key not in self._loops:
            if self.model.graphs and schedule.rule == "unipc":
                rows = (prompts, Prompts((text,)), Prompts((negative,)))
                # With all that a recording will look at beside it, so that its place in memory is
                # not given away.
                _remember(
                    self._loops,
                    key,
                    [[(prompts, self._rope(start, row)) for row in rows]],
                    self._keep,
                )
            return start.split(self._loop(start, prompts, schedule, guidance, seed))
        self._loops.move_to_end(key)
        if len(self._loops[key]) == 1:  # seen for the second time

            def loop(*tensors: Tensor) -> tuple[Tensor, ...]:
                return (self._loop(start.filled(tensors), prompts, schedule, guidance, seed),)

            self._loops[key].append(CudaGraph(loop, start.tensors(), warm=True, shared=True))
        return start.split(self._loops[key][1](*start.tensors())[0].clone())

    def _loop(
        self, start: Start, prompts: Prompts, schedule: Schedule, guidance: Guidance, seed: int
    ) -> Tensor:
        alone, other = Prompts(prompts.rows[:1]), Prompts(prompts.rows[1:])
        branches = [prompts] if guidance.batched else [alone, other]
        team = self.model.team
        push: list[Tensor] = []  # the last difference that guidance made

        def velocity(flat: Tensor, time: float) -> Tensor:
            guided = guidance.applies(time)
            if guided and team and team.branch is not None:
                mine = self._velocity(start, flat, time, other if team.branch else alone)
                speeds = [team.exchange(mine)]
            else:
                speeds = [
                    self._velocity(start, flat, time, rows)
                    for rows in (branches if guided else [alone])
                ]
            speed = torch.cat(speeds).float() if guidance.precise else torch.cat(speeds)
            told = speed[0]
            if guided:
                told = speed[1] + guidance.scale * (speed[0] - speed[1])
                push[:] = [told - speed[0]]
            elif guidance.reuse and push:
                told = told + push[0]
            return start.bend(flat, told, time)

        return denoise(start.flat(), velocity, schedule, start.clean(), seed)

    def _velocity(self, start: Start, flat: Tensor, time: float, prompts: Prompts) -> Tensor:
        """What the network says for each prompt: [prompts, numbers]."""
        count = len(prompts.rows)
        latents, actions = start.split(flat)
        noisy_rows = None if start.clean_rows is None else ~start.clean_rows
        vision, action = self.model.transformer.velocity(
            latents.expand(count, -1, -1, -1, -1),
            torch.full((count,), time, device=flat.device),
            prompts,
            self._rope(start, prompts),
            ~start.clean_frames,
            None if actions is None else actions.expand(count, -1, -1),
            noisy_rows,
            torch.full((count,), start.domain, device=flat.device),
        )
        return (
            vision.flatten(1)
            if action is None
            else torch.cat([vision.flatten(1), action.flatten(1)], dim=1)
        )

    def _rope(self, start: Start, prompts: Prompts) -> Rope:
        """Rotations of the generator's tokens.

        They depend on the lengths of the prompts and the shape alone.
        """
        lengths = tuple(row.length for row in prompts.rows)
        rows = 0 if start.actions is None else start.actions.shape[1]
        shape = tuple(start.latents.shape[2:])
        clock = (start.fps, rows, start.first_row, start.scale_single)
        key = (lengths, shape, clock)
        if key not in self._ropes:
            transformer = self.model.transformer
            places = [
                generator_positions(transformer.config, length, shape, *clock) for length in lengths
            ]
            table = rope_table(
                torch.stack(places).to(transformer.device), transformer.config, transformer.dtype
            )
            _remember(self._ropes, key, table, 3 * self._keep)
        # the oldest one goes: not one that is used, a graph could not make it anew
        self._ropes.move_to_end(key)
        return self._ropes[key]


def numpy_noise(shape: tuple[int, ...], seed: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal float32 from numpy's legacy generator, as the released policies draw it: anew per modality."""
    noise = np.random.RandomState(seed).standard_normal(shape)
    return torch.from_numpy(noise.astype(np.float32)).to(device)


def _remember(memory: collections.OrderedDict, key: tuple, value: object, most: int) -> None:
    memory[key] = value
    while len(memory) > most:
        memory.popitem(last=False)
