# SPDX-License-Identifier: Apache-2.0
"""All windows of the demonstrations as tensors on the training device, pictures encoded, and draws from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ..model.embodiment import Embodiment
from ..model.vae import VideoAutoencoder
from .episodes import TRUTH, Clip


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Windows drawn at random. latents [B, C, F, h, w]; rows [B, R, width]; prompts int64 [B]; truth [B, TRUTH]."""

    latents: Tensor
    rows: Tensor
    prompts: Tensor
    truth: Tensor


class Windows:
    """Grows by `add`; prompt 0 is the empty one, `instructions` are the others in order."""

    def __init__(self, vae: VideoAutoencoder, body: Embodiment, device: torch.device, chunk: int = 384):
        self._vae, self._body, self._device, self._chunk = vae, body, device, chunk
        self._frames = 1 + -(-body.horizon // vae.temporal) * vae.temporal
        self.instructions: list[str] = []
        self._latents: Tensor | None = None
        self._rows = torch.zeros(0)
        self._truth = torch.zeros(0, TRUTH)
        self._choices = torch.zeros(0, 0, dtype=torch.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one window's latents: frames, rows, columns."""
        if self._latents is None:
            raise ValueError("there is nothing to learn from: no demonstration was added")
        return tuple(self._latents.shape[2:])

    def __len__(self) -> int:
        return 0 if self._latents is None else len(self._latents)

    def add(self, clips: Iterable[Clip]) -> None:
        """Encode the windows of these clips; the autoencoder must not change afterwards."""
        clips = [clip for clip in clips if len(clip.starts)]
        if not clips:
            return
        ways = max(len(clip.instructions) for clip in clips)
        ways = max(ways, self._choices.shape[1])
        choices = [torch.tensor([self._prompts(clip, ways)]).expand(len(clip.starts), -1) for clip in clips]
        if 0 < self._choices.shape[1] < ways:
            self._choices = self._choices[:, torch.arange(ways, device=self._device) % self._choices.shape[1]]
        fresh = torch.cat(list(self._encode(clips)))
        rows = torch.cat([torch.from_numpy(clip.rows) for clip in clips]).to(self._device)
        truth = torch.cat([torch.from_numpy(clip.truth) for clip in clips]).to(self._device)
        picked = torch.cat(choices).to(self._device)
        if self._latents is None:
            self._latents, self._rows, self._truth, self._choices = fresh, rows, truth, picked
            return
        self._latents = torch.cat([self._latents, fresh])
        self._rows, self._truth = torch.cat([self._rows, rows]), torch.cat([self._truth, truth])
        self._choices = torch.cat([self._choices, picked])

    def draw(self, count: int, dropout: float) -> Batch:
        """`count` windows, each with one of its instructions, or with none in a share `dropout` of them."""
        if self._latents is None:
            raise ValueError("there is nothing to learn from: no demonstration was added")
        device = self._device
        index = torch.randint(len(self), (count,), device=device)
        way = torch.randint(self._choices.shape[1], (count, 1), device=device)
        prompts = self._choices[index].gather(1, way).squeeze(1)
        prompts = prompts * (torch.rand(count, device=device) >= dropout)
        return Batch(self._latents[index].float(), self._rows[index], prompts, self._truth[index])

    def _prompts(self, clip: Clip, ways: int) -> list[int]:
        for text in clip.instructions:
            if text not in self.instructions:
                self.instructions.append(text)
        known = [1 + self.instructions.index(text) for text in clip.instructions]
        return [known[way % len(known)] for way in range(ways)]

    def _encode(self, clips: list[Clip]) -> Iterator[Tensor]:
        """bfloat16 [windows, C, F, h, w], a chunk at a time: one clip alone would not fill a GPU."""
        waiting: list[Tensor] = []
        for number, clip in enumerate(clips, 1):
            pictures = torch.from_numpy(clip.frames).to(self._device)
            waiting.append(pictures[torch.from_numpy(clip.window(self._frames)).to(self._device)])
            if sum(map(len, waiting)) < self._chunk and number < len(clips):
                continue
            for part in torch.cat(waiting).split(self._chunk):
                video = part.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
                    yield self._vae.encode(video).bfloat16()
            waiting.clear()
