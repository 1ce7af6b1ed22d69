# SPDX-License-Identifier: Apache-2.0
"""Encodes a clip while it is being recorded: each latent as soon as its last frame is there."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor

from .vae import VideoAutoencoder


class ClipEncoder:
    """The latents of one clip, one after the other; equals `VideoAutoencoder.encode` of it all.

    It keeps the temporal cache itself, so that others may encode in between.
    """

    def __init__(self, vae: VideoAutoencoder) -> None:
        self._vae = vae
        parts = vae.module.encoder.modules()
        self._cache: list[Any] = [None] * sum(isinstance(p, wan.WanCausalConv3d) for p in parts)
        self._latents = 0

    @property
    def frames(self) -> int:
        """How many frames the next latent is made of."""
        return self._vae.temporal if self._latents else 1

    @torch.no_grad()
    def add(self, video: Tensor) -> Tensor:
        """The next frames [1, 3, T, H, W] in -1..1 -> their normalized latent [1, C, 1, h, w].

        ValueError unless T is `frames`.
        """
        if video.shape[2] != self.frames:
            raise ValueError(f"clip: expected {self.frames} frames, got {video.shape[2]}")
        module, (mean, inverse) = self._vae.module, self._vae.scale()
        x, patch = video.to(mean), module.config.patch_size
        x = x if patch is None else wan.patchify(x, patch)
        encoded = module.encoder(x, feat_cache=self._cache, feat_idx=[0])
        self._latents += 1
        mode = module.quant_conv(encoded).chunk(2, dim=1)[0]
        return ((mode - mean) * inverse).float()
