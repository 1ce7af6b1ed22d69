# SPDX-License-Identifier: Apache-2.0
"""The video autoencoder (diffusers' AutoencoderKLWan): encode and decode, which may overlap."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.cuda_graph import CudaGraph
from .fast_decoder import DecodeStep, decode_parts, decode_step, decode_video, to_channels_last
from .first_frame_encoder import make_first_frame_encoder, optimize_first_frame
from .tiled_decoder import OVERLAP, Tile, decode_tiled


class VideoAutoencoder:
    """Pixels [T, H, W] <-> normalized latents [48, 1 + (T - 1) / 4, H / 16, W / 16].

    Latent 0 depends on frame 0 alone, so one frame is a video too. Encoding and decoding may
    overlap in two threads.
    """

    def __init__(self, module: Any):  # AutoencoderKLWan
        if not module.config.is_residual:
            raise ValueError(
                "vae: expected is_residual true, as in the autoencoder of Wan 2.2, got false"
            )
        self.module = module
        self._encoding, self._decoding = threading.Lock(), threading.Lock()
        self.decode_step: DecodeStep = decode_step
        self.first_frame_encoder = make_first_frame_encoder(module)
        self._scales: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}
        self._graphs: dict[torch.Size, CudaGraph] | None = None

    def optimize(self, compiled: bool = True, graphs: bool = True) -> None:
        """Prepare for a GPU, in place; the weights must not change any more."""
        to_channels_last(self.module.decoder)
        if compiled:
            self.decode_step = torch.compile(decode_step, dynamic=False)
            optimize_first_frame(self.first_frame_encoder)
        self._graphs = {} if graphs else None

    @property
    def spatial(self) -> int:
        """Pixels per latent, each way."""
        return int(self.module.config.scale_factor_spatial)

    @property
    def temporal(self) -> int:
        """Frames per latent after the first."""
        return int(self.module.config.scale_factor_temporal)

    def scale(self) -> tuple[Tensor, Tensor]:
        """Mean and 1 / std of each latent channel before normalization, [1, 48, 1, 1, 1]."""
        config, like = self.module.config, next(self.module.parameters())
        key = (*config.latents_mean, *config.latents_std, like.dtype, like.device)
        if key not in self._scales:
            mean = torch.tensor(config.latents_mean, dtype=like.dtype, device=like.device)
            inverse = 1.0 / torch.tensor(config.latents_std, dtype=like.dtype, device=like.device)
            self._scales = {key: (mean.view(1, -1, 1, 1, 1), inverse.view(1, -1, 1, 1, 1))}
        return self._scales[key]

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Video [1, 3, T, H, W] in -1..1 -> normalized float32 latents [1, 48, 1 + k, h, w].

        T is 1 + 4 k, height and width are multiples of 16.
        """
        mean, inverse = self.scale()
        if video.shape[2] == 1:
            mode = self._encode_first_frame(video.to(mean))
        else:
            with self._encoding:  # the module stores its temporal cache in itself
                mode = self.module.encode(video.to(mean)).latent_dist.mode()
        return ((mode - mean) * inverse).float()

    def _encode_first_frame(self, video: Tensor) -> Tensor:
        if self._graphs is None:
            return self.first_frame_encoder(video)
        if video.shape not in self._graphs:
            self._graphs[video.shape] = CudaGraph(
                lambda frame: (self.first_frame_encoder(frame),), (video,)
            )
        return self._graphs[video.shape](video)[0]

    @torch.no_grad()
    def decode_tiled(self, latents: Tensor, tile: Tile | None = None) -> Tensor:
        """Like `decode` for one video, into the host's memory: a few latents of a tile at a time.

        tile: None for the whole picture, then frames equal those of `decode`; see `tiled_decoder`.
        Never compiled: every size of a tile would be, for a minute, to be slower than cuDNN's own.
        """
        mean, inverse = self.scale()
        raw = (latents.to(mean) / inverse + mean)[0]
        with self._decoding, _cudnn_benchmark():
            return decode_tiled(
                lambda part: decode_parts(self.module, part, decode_step),
                raw,
                tile or Tile(*(max(side, 2 * OVERLAP) for side in raw.shape[2:])),
                (self.temporal, self.spatial),
            )[None]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalized latents [N, 48, t, h, w] -> float32 [N, 3, 1 + 4 (t - 1), H, W] in -1..1."""
        mean, inverse = self.scale()
        with self._decoding, _cudnn_benchmark():
            return torch.stack(
                [
                    decode_video(self.module, one, self.decode_step)
                    for one in latents.to(mean) / inverse + mean
                ]
            ).float()


@contextlib.contextmanager
def _cudnn_benchmark() -> Iterator[None]:
    """`cudnn.benchmark` inside the block: cuDNN's heuristics choose slower kernels here.

    The flag is global, so that only one thread at a time may be inside.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def video_from_frames(frames: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [T, H, W, 3] -> float32 [1, 3, T, H, W] in -1..1."""
    return video_from_pixels(torch.from_numpy(np.ascontiguousarray(frames)).to(device))


def video_from_pixels(pixels: Tensor) -> Tensor:
    """uint8 [T, H, W, 3] -> float32 [1, 3, T, H, W] in -1..1."""
    return (pixels.float() / 127.5 - 1.0).permute(3, 0, 1, 2).unsqueeze(0)


def frames_from_video(video: Tensor) -> np.ndarray:
    """Float [1, 3, T, H, W] in -1..1 -> uint8 [T, H, W, 3]."""
    frames = ((video[0].clamp(-1, 1) + 1) * 127.5).to(torch.uint8)
    return frames.permute(1, 2, 3, 0).cpu().numpy()
