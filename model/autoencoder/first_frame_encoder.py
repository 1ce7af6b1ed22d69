# SPDX-License-Identifier: Apache-2.0
"""Wan VAE encoder for a single frame, on the weights of diffusers' encoder.

Causal 3-D convolutions of one frame reduce to their last temporal tap (the others meet padding), so
each runs as a 2-D convolution.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor, nn
from torch.nn import functional

from ..runtime.unregistered import Unregistered


class _FirstFrameConv(nn.Module):
    """The last temporal tap of a causal convolution, for one frame [B, C, 1, H, W]."""

    def __init__(self, causal: wan.WanCausalConv3d):
        super().__init__()
        self._causal = Unregistered(causal)
        left, _, top, *_ = causal._padding  # noqa: SLF001 diffusers has no other name for it
        self._geometry: dict[str, Any] = {"stride": causal.stride[1:], "padding": (top, left)}
        self._frozen: Tensor | None = None

    def freeze(self) -> None:
        """Copy the tap, in the memory format of tensor cores, for weights that no longer change."""
        weight = self._causal.module.weight
        self._frozen = weight[:, :, -1].contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor, _cache: None = None) -> Tensor:
        causal = self._causal.module
        weight = causal.weight[:, :, -1] if self._frozen is None else self._frozen
        return functional.conv2d(x[:, :, 0], weight, causal.bias, **self._geometry).unsqueeze(2)


class FirstFrameEncoder(nn.Module):
    """Latents of one frame, not normalized: [B, 3, 1, H, W] -> [B, z, 1, H / 16, W / 16]."""

    def __init__(self, encoder: nn.Module, quant: nn.Module, patch: int | None):
        super().__init__()
        self.encoder, self.quant, self.patch = encoder, quant, patch

    def forward(self, video: Tensor) -> Tensor:
        x = wan.patchify(video, self.patch) if self.patch is not None else video
        return self.quant(self.encoder(x)).chunk(2, dim=1)[0]


def make_first_frame_encoder(module: Any) -> FirstFrameEncoder:
    """The encoder of an AutoencoderKLWan for single frames; it shares the weights."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    encoder, quant = copy.deepcopy((module.encoder, module.quant_conv), shared)
    _replace(encoder, wan.WanCausalConv3d, _FirstFrameConv)
    return FirstFrameEncoder(encoder, _FirstFrameConv(quant), module.config.patch_size)


def _replace(module: nn.Module, kind: type, make: Callable[[Any], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            _replace(child, kind, make)


def optimize_first_frame(encoder: FirstFrameEncoder) -> None:
    """Freeze the taps and compile, in place, for weights that no longer change."""
    for part in encoder.modules():
        if isinstance(part, _FirstFrameConv):
            part.freeze()
    encoder.compile(dynamic=False)
