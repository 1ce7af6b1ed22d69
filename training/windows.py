# SPDX-License-Identifier: Apache-2.0
"""All windows of the demonstrations as tensors on the training device, pictures encoded, and draws from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..model.embodiment import Embodiment
from ..model.vae import VideoAutoencoder
from .episodes import Clip

_PIXELS = 384 * 17 * 160 * 192  # encoded at once: so many windows of the simulation's canvas fill a GPU


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Windows drawn at random. latents [B, C, F, h, w]; rows [B, R, width]; prompts int64 [B]; truth [B, TRUTH].

    whole: bool [B], whether what was seen later is known; else only frame 0 of the latents means something.
    """

    latents: Tensor
    rows: Tensor
    prompts: Tensor
    truth: Tensor
    whole: Tensor


class Windows:
    """Grows by `add`; prompt 0 is the empty one, `instructions` are the others in order."""

    def __init__(self, vae: VideoAutoencoder, body: Embodiment, device: torch.device):
        self._vae, self._body, self._device = vae, body, device
        self._frames = 1 + -(-body.horizon // vae.temporal) * vae.temporal
        height, width = body.canvas.size
        self._chunk = max(1, _PIXELS // (self._frames * height * width))
        self.instructions: list[str] = []
        self._parts = {True: _Part(), False: _Part()}  # by whether what was seen later is known

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one window's latents: frames, rows, columns."""
        frames = 1 + (self._frames - 1) // self._vae.temporal
        return (frames, *next(iter(self._filled().values())).latents.shape[3:])

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self._parts.values())

    def add(self, clips: Iterable[Clip]) -> None:
        """Encode the windows of these clips; the autoencoder must not change afterwards."""
        clips = [clip for clip in clips if len(clip.starts)]
        for whole, part in self._parts.items():
            if some := [clip for clip in clips if clip.whole == whole]:
                part.add(self._encoded(some))

    def draw(self, count: int, dropout: float) -> Batch:
        """`count` windows, as many of either kind if there are both, each with one of its instructions.

        In a share `dropout` of them there is none.
        """
        parts, frames = self._filled(), self.shape[0]
        batches = []
        for number, (whole, part) in enumerate(parts.items()):
            share = (count + number) // len(parts)
            index = torch.randint(len(part.rows), (share,), device=self._device)
            way = torch.randint(part.choices.shape[1], (share, 1), device=self._device)
            prompts = part.choices[index].gather(1, way).squeeze(1)
            prompts = prompts * (torch.rand(share, device=self._device) >= dropout)
            latents = part.latents[index].float()
            latents = torch.nn.functional.pad(latents, (0, 0, 0, 0, 0, frames - latents.shape[2]))
            known = torch.full((share,), whole, device=self._device)
            batches.append((latents, part.rows[index], prompts, part.truth[index], known))
        return Batch(*(torch.cat(tensors) for tensors in zip(*batches, strict=True)))

    def _filled(self) -> dict[bool, _Part]:
        parts = {whole: part for whole, part in self._parts.items() if len(part.rows)}
        if not parts:
            raise ValueError("there is nothing to learn from: no demonstration was added")
        return parts

    def _encoded(self, clips: list[Clip]) -> _Part:
        ways = max(len(clip.instructions) for clip in clips)
        choices = [torch.tensor([self._prompts(clip, ways)]).expand(len(clip.starts), -1) for clip in clips]
        return _Part(
            torch.cat(list(self._encode(clips))),
            torch.cat([torch.from_numpy(clip.rows) for clip in clips]).to(self._device),
            torch.cat([torch.from_numpy(clip.truth) for clip in clips]).to(self._device),
            torch.cat(choices).to(self._device),
        )

    def _prompts(self, clip: Clip, ways: int) -> list[int]:
        for text in clip.instructions:
            if text not in self.instructions:
                self.instructions.append(text)
        known = [1 + self.instructions.index(text) for text in clip.instructions]
        return [known[way % len(known)] for way in range(ways)]

    def _encode(self, clips: list[Clip]) -> Iterator[Tensor]:
        """bfloat16 [windows, C, F, h, w], without padding, a chunk at a time: one clip alone would not fill a GPU."""
        height, width = (side // self._vae.spatial for side in self._body.canvas.content)
        waiting: list[Tensor] = []
        for number, clip in enumerate(clips, 1):
            pictures = torch.from_numpy(clip.frames).to(self._device)
            waiting.append(pictures[torch.from_numpy(clip.window(self._frames)).to(self._device)])
            if sum(map(len, waiting)) < self._chunk and number < len(clips):
                continue
            for some in torch.cat(waiting).split(self._chunk):
                video = some.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
                    yield self._vae.encode(video)[..., :height, :width].bfloat16()
            waiting.clear()


@dataclasses.dataclass(slots=True)
class _Part:
    """Windows of one kind: bfloat16 latents [N, C, F, h, w], rows, truth, and the prompts to choose from [N, ways]."""

    latents: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    rows: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    truth: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    choices: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))

    def add(self, more: _Part) -> None:
        if not len(self.rows):
            self.latents, self.rows, self.truth, self.choices = more.latents, more.rows, more.truth, more.choices
            return
        ways = max(self.choices.shape[1], more.choices.shape[1])
        self.choices = torch.cat([part[:, torch.arange(ways) % part.shape[1]] for part in (self.choices, more.choices)])
        self.latents = torch.cat([self.latents, more.latents])
        self.rows, self.truth = torch.cat([self.rows, more.rows]), torch.cat([self.truth, more.truth])
