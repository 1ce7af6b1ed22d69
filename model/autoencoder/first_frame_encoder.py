# SPDX-License-Identifier: Apache-2.0
"""One frame encoded as the picture it is: diffusers' encoder without what is multiplied by zero, or copied."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor, nn
from torch.nn import functional


class _FirstFrameConv(nn.Module):
    """A causal convolution of a lone frame [B, C, 1, H, W]: only its last tap in time meets something but padding."""

    def __init__(self, whole: wan.WanCausalConv3d):
        super().__init__()
        self.whole = [whole]  # in a list, so that its weights do not count twice
        left, _, top, *_ = whole._padding
        self.place: dict[str, Any] = {"stride": whole.stride[1:], "padding": (top, left)}
        self.baked: Tensor | None = None

    def bake(self) -> None:
        """Take the tap out for good, in the order that tensor cores want.

        For weights that no longer change.
        """
        self.baked = self.whole[0].weight[:, :, -1].contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor, _cache: None = None) -> Tensor:
        weight = self.whole[0].weight[:, :, -1] if self.baked is None else self.baked
        return functional.conv2d(x[:, :, 0], weight, self.whole[0].bias, **self.place).unsqueeze(2)


class FirstFrameEncoder(nn.Module):
    """Mode of the latents of one frame: float [B, 3, 1, H, W] -> [B, z, 1, H / 16, W / 16], not yet normalized."""

    def __init__(self, encoder: nn.Module, quant: nn.Module, patch: int | None):
        super().__init__()
        self.encoder, self.quant, self.patch = encoder, quant, patch

    def forward(self, video: Tensor) -> Tensor:
        x = wan.patchify(video, self.patch) if self.patch is not None else video
        return self.quant(self.encoder(x)).chunk(2, dim=1)[0]


def first_frame_encoder(module: Any) -> FirstFrameEncoder:
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
    """Bake and compile a still encoder, in place, for weights that no longer change."""
    for part in encoder.modules():
        if isinstance(part, _FirstFrameConv):
            part.bake()
    encoder.compile(dynamic=False)
