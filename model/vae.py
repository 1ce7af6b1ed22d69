# SPDX-License-Identifier: Apache-2.0
"""Video to latents and back: diffusers' AutoencoderKLWan behind two calls that may run at the same time."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor


class VideoAutoencoder:
    """Pixels [T, H, W] <-> normalised latents [48, 1 + (T - 1) / 4, H / 16, W / 16].

    Latent 0 depends on frame 0 alone, so one frame is a video too. Encoding and decoding may overlap in two threads.
    """

    def __init__(self, module: Any):  # AutoencoderKLWan
        self.module = module
        # The module keeps its convolution caches in itself: two shallow copies share the weights, not the caches.
        self._encoder, self._decoder = copy.copy(module), copy.copy(module)
        self._encoding, self._decoding = threading.Lock(), threading.Lock()

    @property
    def spatial(self) -> int:
        """Pixels per latent, each way."""
        return int(self.module.config.scale_factor_spatial)

    @property
    def temporal(self) -> int:
        """Frames per latent after the first."""
        return int(self.module.config.scale_factor_temporal)

    def _scale(self) -> tuple[Tensor, Tensor]:
        config, like = self.module.config, next(self.module.parameters())
        mean = torch.tensor(config.latents_mean, dtype=like.dtype, device=like.device)
        inverse = 1.0 / torch.tensor(config.latents_std, dtype=like.dtype, device=like.device)
        return mean.view(1, -1, 1, 1, 1), inverse.view(1, -1, 1, 1, 1)

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Float [1, 3, T, H, W] in -1..1, T = 1 + 4k, sides multiples of 16 -> float32 latents [1, 48, 1 + k, h, w]."""
        mean, inverse = self._scale()
        with self._encoding:
            mode = self._encoder.encode(video.to(mean)).latent_dist.mode()
        return ((mode - mean) * inverse).float()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Normalised latents [1, 48, t, h, w] -> float32 [1, 3, 1 + 4 (t - 1), H, W] in -1..1."""
        mean, inverse = self._scale()
        with self._decoding:
            video = self._decoder.decode(latents.to(mean) / inverse + mean).sample
        return video.float()


def video_from_frames(frames: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [T, H, W, 3] -> float32 [1, 3, T, H, W] in -1..1."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).to(device).float() / 127.5 - 1.0
    return video.permute(3, 0, 1, 2).unsqueeze(0)


def frames_from_video(video: Tensor) -> np.ndarray:
    """Float [1, 3, T, H, W] in -1..1 -> uint8 [T, H, W, 3]."""
    frames = ((video[0].clamp(-1, 1) + 1) * 127.5).to(torch.uint8)
    return frames.permute(1, 2, 3, 0).cpu().numpy()
