# SPDX-License-Identifier: Apache-2.0
"""Clips to windows of latents: between the steps of a training, or on another device beside it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

from ...model.autoencoder.vae import VideoAutoencoder
from ...model.embodiment import Embodiment
from ..data.background_loader import BackgroundLoader
from ..data.episodes import Clip

# encoded at once: so many windows of the simulation's canvas fill a GPU
_PIXELS = 384 * 17 * 160 * 192
_FILL = 64  # clips that are waited for before a device of its own encodes
# on a GPU; bfloat16's 8 bits would cost a sixth of what latents say (training/NOTES.md)
PRECISE = torch.float16


@dataclasses.dataclass(frozen=True, slots=True)
class Encoded:
    """Windows of one kind, clip after clip: latents bfloat16 [N, C, F, h, w].

    Rows [N, R, channels], truth [N, K].

    asked: of each clip its number of windows and its instructions; whole: see Clip.
    """

    latents: Tensor
    rows: Tensor
    truth: Tensor
    asked: tuple[tuple[int, tuple[str, ...]], ...]
    whole: bool


class Encoder:
    """Encodes on the autoencoder's device; the autoencoder must not change afterwards."""

    def __init__(self, vae: VideoAutoencoder, embodiment: Embodiment):
        self._vae, self._embodiment = vae, embodiment
        self._device = next(vae.module.parameters()).device
        # of a window whose future is known
        self.frames = 1 + -(-embodiment.horizon // vae.temporal) * vae.temporal
        height, width = embodiment.canvas.size
        self._chunk = max(1, _PIXELS // (self.frames * height * width))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the latents of a window whose future is known: frames, rows, columns."""
        height, width = (side // self._vae.spatial for side in self._embodiment.canvas.content)
        return (1 + (self.frames - 1) // self._vae.temporal, height, width)

    def encode(self, clips: Iterable[Clip]) -> list[Encoded]:
        """The windows of these clips, first those of which everything is known."""
        clips = [clip for clip in clips if len(clip.starts)]
        kinds = ([clip for clip in clips if clip.whole == whole] for whole in (True, False))
        return [
            Encoded(
                torch.cat(list(self._latents(some))),
                torch.cat([torch.from_numpy(clip.rows) for clip in some]),
                torch.cat([torch.from_numpy(clip.truth) for clip in some]),
                tuple((len(clip.starts), clip.instructions) for clip in some),
                some[0].whole,
            )
            for some in kinds
            if some
        ]

    def _latents(self, clips: list[Clip]) -> Iterator[Tensor]:
        """bfloat16 [windows, C, F, h, w] without padding, from batches that fill a GPU."""
        _, height, width = self.shape
        waiting: list[Tensor] = []
        for number, clip in enumerate(clips, 1):
            pictures = torch.from_numpy(clip.frames).to(self._device)
            waiting.append(pictures[torch.from_numpy(clip.window(self.frames)).to(self._device)])
            if sum(map(len, waiting)) < self._chunk and number < len(clips):
                continue
            for some in torch.cat(waiting).split(self._chunk):
                video = some.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
                with torch.autocast(
                    self._device.type, PRECISE, enabled=self._device.type == "cuda"
                ):
                    yield self._vae.encode(video)[..., :height, :width].bfloat16()
            waiting.clear()


class Feed:
    """Encoded clips of a source: encoded on request, or `beside` the training in a thread.

    The first clips are always encoded on request, and the thread begins after that: while the
    training compiles, two threads of Python would slow each other down.
    """

    def __init__(self, encoder: Encoder, source: BackgroundLoader[Clip], beside: bool = False):
        self.shape, self._encoder, self._source, self._beside = (
            encoder.shape,
            encoder,
            source,
            beside,
        )
        self._ready: BackgroundLoader[Encoded] | None = None
        self._begun = False

    def take(self) -> list[Encoded]:
        """The windows that came since the last call. Raises whatever went wrong in making them."""
        if self._ready is not None:
            return self._ready.take()
        if self._beside and self._begun:  # from now on that thread alone takes from the source
            self._ready = BackgroundLoader(self._follow)
            return []
        self._begun = True
        return self._encoder.encode(self._source.take())

    def close(self) -> None:
        if self._ready is not None:
            self._ready.close()

    def _follow(self) -> Generator[Encoded]:
        while not self._source.finished:
            if len(self._source.clips) < _FILL:
                time.sleep(0.02)
            else:
                yield from self._encoder.encode(self._source.take())
        yield from self._encoder.encode(self._source.take())
