# SPDX-License-Identifier: Apache-2.0
"""Windows of clips as latents in the host's memory, by shape; random batches of one shape."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...model.autoencoder.vae import VideoAutoencoder, video_from_frames
from ...model.language.captions import (
    is_structured,
    structured_caption,
    tokenize,
    video_caption,
)
from ...model.network.kv_cache import KVCache
from ...model.network.layers import Rope, rope_table
from ...model.network.positions import generator_positions
from ...model.network.transformer import Transformer
from ..clips.video_clip import VideoClip
from ..stages.latent_encoder import PRECISE

_PIXELS = 64 * 17 * 160 * 192  # encoded at once
_ROUND = 16  # prompts are padded to a multiple of so many tokens


@dataclasses.dataclass(frozen=True, slots=True)
class VideoBatch:
    """Windows of one shape and rate, drawn at random."""

    latents: Tensor  # float32 [B, C, F, h, w]
    prompts: Tensor  # int64 [B], index of `VideoDataset.prompts`
    fps: float
    size: tuple[int, int]  # of the pictures


class VideoDataset:
    """Grows by `add`; `prompts` are tokens, the first those of the empty caption."""

    def __init__(self, vae: VideoAutoencoder, tokenizer: Any, device: torch.device):
        self._vae, self._tokenizer, self._device = vae, tokenizer, device
        self.prompts: list[list[int]] = [tokenize(tokenizer, "")]
        self.short = 0  # clips that were shorter than a window
        self._numbers: dict[str, int] = {"": 0}
        self._parts: dict[tuple[Any, ...], _Part] = {}

    def __len__(self) -> int:
        return sum(part.count for part in self._parts.values())

    def add(self, clips: Iterable[VideoClip]) -> None:
        """Encode the windows of these clips; ValueError for a caption that is too long."""
        for clip in clips:
            self.short += not clip.starts
            if clip.starts:
                self._add(clip)

    def latents(self) -> list[Tensor]:
        """Those of every window, float32 [C, F, h, w], shape by shape."""
        return [one.float() for part in self._parts.values() for one in part.whole()]

    def usual(self) -> tuple[int, tuple[int, int], float]:
        """Frames, height and width, and rate that most windows have."""
        key = max(self._parts, key=lambda key: self._parts[key].count)
        return key[0], (key[1], key[2]), key[3]

    def _add(self, clip: VideoClip) -> None:
        size = (clip.frames.shape[1], clip.frames.shape[2])
        texts = [written(text, clip.length, clip.fps, size) for text in clip.captions]
        numbers = [self._number(text) for text in texts]
        part = self._parts.setdefault((clip.length, *size, clip.fps), _Part())
        chunk = max(1, _PIXELS // (clip.length * size[0] * size[1]))
        for begin in range(0, len(clip.starts), chunk):
            starts = clip.starts[begin : begin + chunk]
            part.waiting.append(self._encode([clip.window(start) for start in starts]))
        part.choices += [numbers] * len(clip.starts)

    def _encode(self, windows: list[np.ndarray]) -> Tensor:
        """Latents bfloat16 [N, C, F, h, w] in the host's memory."""
        device = next(self._vae.module.parameters()).device
        video = torch.cat([video_from_frames(frames, device) for frames in windows])
        with torch.autocast(device.type, PRECISE, enabled=device.type == "cuda"):
            return self._vae.encode(video).bfloat16().cpu()

    def _number(self, text: str) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.prompts)
            self.prompts.append(tokenize(self._tokenizer, text))
        return self._numbers[text]

    def draw(self, count: int, dropout: float) -> VideoBatch:
        """`count` windows of one shape, a shape as often as it has windows.

        Each with one of its captions, or the empty one in a share `dropout` of them.
        """
        if not len(self):
            raise ValueError(
                f"video.clips: expected windows to learn from, got none of {self.short} clips that "
                "are shorter than video.frames"
            )
        keys = list(self._parts)
        weights = torch.tensor([float(self._parts[key].count) for key in keys])
        key = keys[int(torch.multinomial(weights, 1))]
        part, (_, height, width, fps) = self._parts[key], key
        index = torch.randint(part.count, (count,))
        said = [part.choices[int(number)] for number in index]
        prompts = torch.tensor([ways[int(torch.randint(len(ways), ()))] for ways in said])
        prompts = prompts * (torch.rand(count) >= dropout)
        latents = part.whole()[index].to(self._device, torch.float32)
        return VideoBatch(latents, prompts, fps, (height, width))


@dataclasses.dataclass(slots=True)
class _Part:
    """Windows of one shape: bfloat16 latents [N, C, F, h, w], and the captions of each."""

    waiting: list[Tensor] = dataclasses.field(default_factory=list)
    choices: list[list[int]] = dataclasses.field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.choices)

    def whole(self) -> Tensor:
        if len(self.waiting) > 1:
            self.waiting = [torch.cat(self.waiting)]
        return self.waiting[0]


def written(text: str, frames: int, fps: float, size: tuple[int, int]) -> str:
    """A caption as the generator reads it when it is asked for such a video."""
    if is_structured(text):
        return structured_caption(json.loads(text), frames, fps, size)
    return video_caption(text, frames, fps, size)


def read_prompts(
    transformer: Transformer, prompts: list[list[int]], shape: tuple[int, ...], fps: float
) -> tuple[KVCache, Rope]:
    """Keys, values and rotations for one prompt of each sample; equal ones are read once.

    shape: of the latents: frames, rows, columns.
    """
    config, device = transformer.config, transformer.device
    numbers = {tuple(prompt): 0 for prompt in prompts}
    numbers = {prompt: number for number, prompt in enumerate(numbers)}
    longest = -(-max(map(len, numbers)) // _ROUND) * _ROUND
    padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in numbers]
    _, cache = transformer.prefill(torch.tensor(padded, device=device))
    index = torch.tensor([numbers[tuple(prompt)] for prompt in prompts], device=device)
    layers = (cache.keys, cache.values, cache.generator_keys)
    keys, values, others = ([x.index_select(0, index) for x in kind] for kind in layers)
    lengths = [len(prompt) for prompt in prompts]
    table = {length: generator_positions(config, length, shape, fps) for length in {*lengths}}
    positions = torch.stack([table[length] for length in lengths]).to(device)
    rope = rope_table(positions, config, transformer.dtype)
    return KVCache(keys, values, others, torch.tensor(lengths, device=device)), rope
