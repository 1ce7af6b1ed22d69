# SPDX-License-Identifier: Apache-2.0
"""The video autoencoder at speed: one frame is encoded as the picture it is, and decoding is laid out for a GPU.

Everything keeps the values of diffusers' modules; only what is multiplied by zero, or copied, is left out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor, nn
from torch.nn import functional


class _StillConv(nn.Module):
    """A causal convolution of a lone frame [B, C, 1, H, W]: only its last tap in time meets something but padding."""

    def __init__(self, whole: wan.WanCausalConv3d):
        super().__init__()
        self.whole = [whole]  # in a list, so that its weights do not count twice
        left, _, top, *_ = whole._padding
        self.place: dict[str, Any] = {"stride": whole.stride[1:], "padding": (top, left)}
        self.baked: Tensor | None = None

    def bake(self) -> None:
        """Take the tap out for good, in the order that tensor cores want; for weights that no longer change."""
        self.baked = self.whole[0].weight[:, :, -1].contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor, _cache: None = None) -> Tensor:
        weight = self.whole[0].weight[:, :, -1] if self.baked is None else self.baked
        return functional.conv2d(x[:, :, 0], weight, self.whole[0].bias, **self.place).unsqueeze(2)


class StillEncoder(nn.Module):
    """Mode of the latents of one frame: float [B, 3, 1, H, W] -> [B, z, 1, H / 16, W / 16], not yet normalised."""

    def __init__(self, encoder: nn.Module, quant: nn.Module, patch: int | None):
        super().__init__()
        self.encoder, self.quant, self.patch = encoder, quant, patch

    def forward(self, video: Tensor) -> Tensor:
        x = wan.patchify(video, self.patch) if self.patch is not None else video
        return self.quant(self.encoder(x)).chunk(2, dim=1)[0]


def still_encoder(module: Any) -> StillEncoder:
    """The encoder of an AutoencoderKLWan for single frames; it shares the weights."""
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    encoder, quant = copy.deepcopy((module.encoder, module.quant_conv), shared)
    _replace(encoder, wan.WanCausalConv3d, _StillConv)
    return StillEncoder(encoder, _StillConv(quant), module.config.patch_size)


def _replace(module: nn.Module, kind: type, make: Callable[[Any], nn.Module]) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            _replace(child, kind, make)


class _Enlarge(nn.Module):
    """Nearest neighbours copy pixels, for which there is no need to go through float32."""

    def __init__(self, slow: wan.WanUpsample):
        super().__init__()
        self.scale = slow.scale_factor

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=self.scale, mode="nearest-exact")


class _NormSilu(nn.Module):
    """A norm and the activation after it, in one compiled kernel."""

    def __init__(self, norm: wan.WanRMS_norm):
        super().__init__()
        self.norm = norm
        self.whole = torch.compile(lambda x: functional.silu(norm(x)), dynamic=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(x)


def hasten_decoder(decoder: nn.Module, compiled: bool = True) -> None:
    """Lay out a WanDecoder3d for tensor cores, in place, and fuse what lies between its convolutions."""
    for part in decoder.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _replace(decoder, wan.WanUpsample, _Enlarge)
    if not compiled:
        return
    for block in [*decoder.modules()]:
        if isinstance(block, wan.WanResidualBlock):
            _fuse(block, "norm1", "norm2")
    _fuse(decoder, "norm_out")


def _fuse(block: nn.Module, *norms: str) -> None:
    for name in norms:
        setattr(block, name, _NormSilu(getattr(block, name)))
    block.nonlinearity = nn.Identity()


def hasten_still(encoder: StillEncoder) -> None:
    """Bake and compile a still encoder, in place, for weights that no longer change."""
    for part in encoder.modules():
        if isinstance(part, _StillConv):
            part.bake()
    encoder.compile(dynamic=False)
