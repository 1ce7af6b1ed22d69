# SPDX-License-Identifier: Apache-2.0
"""A start for the video autoencoder's encoder: principal components, level by level, instead of random weights.

A random encoder takes long to let anything through. Here its residual branches begin at zero, every
downsampling keeps the principal components of what it sees, and the latents are, nearly, those of
16 x 16 pixel patches.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# what the last norm sees beside the signal, in units of its spread: it keeps norm and SiLU nearly
# linear
_OFFSET = 5.0


@torch.no_grad()
def start_encoder(module: Any, videos: Tensor) -> None:
    """Set the encoder of an AutoencoderKLWan in place from videos [N, 3, T, H, W] in -1..1, T = 1 + 4k."""
    encoder = module.encoder
    for name, parameter in encoder.named_parameters():
        if "conv2." in name or ".proj." in name:
            torch.nn.init.zeros_(parameter)
        elif "conv_shortcut.weight" in name:
            parameter.copy_(
                torch.eye(*parameter.shape[:2], device=parameter.device)[..., None, None, None]
            )
        elif name.endswith("bias") and "norm" not in name:
            torch.nn.init.zeros_(parameter)
    _take(encoder.conv_in, _seen(module, encoder.conv_in, videos))
    levels = [block.downsampler for block in encoder.down_blocks if block.downsampler is not None]
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        convolution = level.resample[1]
        if hasattr(level, "time_conv"):  # the mean over time
            eye = torch.eye(level.time_conv.weight.shape[0], device=videos.device)
            level.time_conv.weight.copy_(
                eye[..., None, None, None].expand_as(level.time_conv.weight) / 3
            )
        spread = _take(
            convolution, _seen(module, convolution, videos), module.config.z_dim if last else 0
        )
        if last:
            convolution.bias.fill_(_OFFSET * float(spread))
    _finish(module, encoder.conv_out, _seen(module, encoder.conv_out, videos))


def _seen(module: Any, layer: torch.nn.Module, videos: Tensor) -> Tensor:
    """What a layer is given while the videos are encoded: [N, C, ..., h, w]."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    module.encode(videos)
    hook.remove()
    return torch.cat(
        [
            part.movedim(1, -1).flatten(0, -4) if part.dim() == 5 else part.movedim(1, -1)
            for part in seen
        ]
    )


def _components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal directions [count, D] and values of samples [N, D] (not centered).

    Uneven ones count more.
    """
    weight = 1 + 8 * samples.std(1, keepdim=True)
    covariance = (samples * weight).T @ samples / len(samples)
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors.flip(1)[:, :count].T.to(samples), values.flip(0)[:count].to(samples)


def _take(layer: Any, seen: Tensor, count: int = 0) -> Tensor:
    """Let a convolution compute principal components of its input ([N, h, w, C]).

    Returns the spread of the first.
    """
    weight = torch.zeros_like(layer.weight)
    if weight.dim() == 5:  # at every place alone, now
        directions, values = _components(seen.flatten(0, -2), weight.shape[0])
        weight[: len(directions), :, -1, 1, 1] = directions
    else:  # of 2 x 2 places
        batch, height, width, channels = seen.shape
        height, width = height // 2 * 2, width // 2 * 2  # without the padding
        tiles = seen[:, :height, :width].reshape(batch, height // 2, 2, width // 2, 2, channels)
        tiles = tiles.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(0, 2)
        directions, values = _components(tiles, count or weight.shape[0])
        weight[: len(directions), :, :2, :2] = directions.unflatten(1, (2, 2, channels)).permute(
            0, 3, 1, 2
        )
    layer.weight.copy_(weight)
    return values[0].sqrt()


def _finish(module: Any, layer: Any, seen: Tensor) -> None:
    """Latents = principal components of the last features; no spread is claimed for them."""
    features = seen.flatten(0, -2)
    mean = features.mean(0)
    directions, values = _components(features - mean, layer.weight.shape[0] // 2)
    directions = directions / values.clamp(min=1e-8).sqrt()[:, None]
    count = len(directions)
    layer.weight.zero_()
    layer.weight[:count, :, -1, 1, 1] = directions
    layer.bias.zero_()
    layer.bias[:count] = -directions @ mean
    module.quant_conv.weight.copy_(torch.eye(2 * count, device=mean.device)[..., None, None, None])
    module.quant_conv.bias.zero_()
    module.quant_conv.bias[count:] = -10.0
