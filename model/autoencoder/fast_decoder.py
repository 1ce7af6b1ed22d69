# SPDX-License-Identifier: Apache-2.0
"""Fast decoder of the Wan VAE: equals diffusers' AutoencoderKLWan with fewer multiplications.

Several latents are decoded at a time, and every 3-D convolution is a sum of 2-D ones. Of the first
frame only the last temporal tap counts. Later frames are computed in pairs, by four 2-D
convolutions in place of six (Winograd's F(2, 3), in time). A 3 x 3 convolution after upsampling by
two becomes four 2 x 2 ones before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor, nn
from torch.nn import functional

# Latents decoded at a time after the first, an even number: they fill a GPU, and take its memory.
LATENTS_PER_STEP = 4

DecodeStep = Callable[[Any, Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


class _TemporalCache:
    """The last two input frames of each temporal convolution, in the order in which they run.

    Between the convolutions the frames at even positions come first, then those at odd positions.
    """

    def __init__(self, before: Sequence[Tensor]):
        self.first = not before  # before the first frame there is only padding
        self._before = list(before)
        self.after: list[Tensor] = []

    def convolve(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """Causal convolution over time, three taps, of the frames x [T, C, H, W]."""
        padding: dict[str, Any] = {"padding": tuple(size // 2 for size in conv.kernel_size[1:])}
        far, near, here = conv.weight.unbind(2)
        if self.first:
            self._keep(torch.zeros_like(x), x)
            return functional.conv2d(x, here, conv.bias, **padding)
        (c, d), (before_c, before_d) = x.chunk(2), self._before.pop(0).chunk(2)
        a, b = torch.cat([before_c, c[:-1]]), torch.cat([before_d, d[:-1]])
        self._keep(c[-1:], d[-1:])
        one = functional.conv2d(a - c, far, **padding)
        two = functional.conv2d(b + c, (far + near + here) / 2, conv.bias, **padding)
        three = functional.conv2d(c - b, (far - near + here) / 2, **padding)
        four = functional.conv2d(b - d, here, **padding)
        return torch.cat([one + two + three, two - three - four])

    # One memory format always, or `decode_step` would be compiled anew.
    def _keep(self, *frames: Tensor) -> None:
        self.after.append(torch.cat(frames).contiguous(memory_format=torch.channels_last))

    def double(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """Upsample time by two; a video's first frame stays one, and later ones do not see it."""
        if self.first:
            self._keep(torch.zeros_like(x), torch.zeros_like(x))
            return x
        return _even_then_odd(_in_time(self.convolve(conv, x)).unflatten(1, (2, -1)).flatten(0, 1))


def _even_then_odd(x: Tensor) -> Tensor:
    """Frames in time -> frames at even positions, then those at odd ones; one frame stays."""
    return x if len(x) == 1 else torch.cat([x[::2], x[1::2]])


def _in_time(x: Tensor) -> Tensor:
    """Inverse of `_even_then_odd`."""
    return x if len(x) == 1 else torch.stack(x.chunk(2), dim=1).flatten(0, 1)


def decode_video(module: Any, latents: Tensor, step: DecodeStep) -> Tensor:
    """Latents [z, t, h, w], not normalized -> video [3, 1 + 4 (t - 1), 16 h, 16 w] in -1..1.

    module: AutoencoderKLWan; step: `decode_step`, or its compiled form.
    """
    return torch.cat(list(decode_parts(module, latents, step))).transpose(0, 1)


def decode_parts(module: Any, latents: Tensor, step: DecodeStep) -> Iterator[Tensor]:
    """The video of `decode_video` in parts as they are decoded, each [T, 3, H, W]."""
    past: Sequence[Tensor] = []
    pictures = latents.transpose(0, 1).contiguous()
    for part in (
        pictures[:1],
        *(
            pictures[start : start + LATENTS_PER_STEP]
            for start in range(1, len(pictures), LATENTS_PER_STEP)
        ),
    ):
        pairs = torch.cat([part, part[-1:]]) if past and len(part) % 2 else part
        decoded, past = step(module, pairs, past)
        yield decoded[: len(decoded) // len(pairs) * len(part)]


def decode_step(
    module: Any, latents: Tensor, before: Sequence[Tensor]
) -> tuple[Tensor, Sequence[Tensor]]:
    """The next latents [n, z, h, w] -> their frames [T, 3, H, W] and the temporal cache after them.

    before: the temporal cache before them; empty for the first latent, which is decoded alone.
    """
    decoder, past = module.decoder, _TemporalCache(before)
    x = past.convolve(decoder.conv_in, _even_then_odd(_pointwise(module.post_quant_conv, latents)))
    middle = decoder.mid_block
    x = _residual(middle.resnets[0], x, past)
    for attention, block in zip(middle.attentions, middle.resnets[1:], strict=True):
        x = _residual(block, attention(x.unsqueeze(2)).squeeze(2), past)
    for level in decoder.up_blocks:
        x = _level(level, x, past)
    x = past.convolve(decoder.conv_out, _active(decoder.norm_out, x))
    return wan.unpatchify(_in_time(x).unsqueeze(2), module.config.patch_size or 1).squeeze(2).clamp(
        -1, 1
    ), past.after


def _level(level: Any, x: Tensor, past: _TemporalCache) -> Tensor:
    y = x
    for block in level.resnets:
        y = _residual(block, y, past)
    if level.upsampler is None:
        return y
    if level.upsampler.mode == "upsample3d":
        y = past.double(level.upsampler.time_conv, y)
    shortcut = level.avg_shortcut(_in_time(x).transpose(0, 1).unsqueeze(0), first_chunk=past.first)
    return _upsample(level.upsampler.resample[1], y) + _even_then_odd(
        shortcut.squeeze(0).transpose(0, 1)
    )


def _residual(block: Any, x: Tensor, past: _TemporalCache) -> Tensor:
    y = past.convolve(block.conv1, _active(block.norm1, x))
    y = past.convolve(block.conv2, _active(block.norm2, y))
    return (
        _pointwise(block.conv_shortcut, x) if isinstance(block.conv_shortcut, nn.Conv3d) else x
    ) + y


def _active(norm: wan.WanRMS_norm, x: Tensor) -> Tensor:
    """silu(norm(x)), rounded once."""
    size = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp(min=1e-12)
    return functional.silu(x / size * (norm.scale * norm.gamma[:, 0])).to(x.dtype)


def _pointwise(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A 1 x 1 x 1 convolution of frames."""
    return functional.conv2d(x, conv.weight[:, :, 0], conv.bias)


def _upsample(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Nearest upsampling by two and a 3 x 3 convolution, as one transposed convolution.

    A new pixel then sees only 2 x 2 different ones. The kernel of the transposed convolution is the
    given one, flipped, summed over the four copies of a pixel.
    """
    kernel = 4 * functional.avg_pool2d(
        conv.weight.transpose(0, 1).flip(2, 3), 2, stride=1, padding=1
    )
    return functional.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)


def to_channels_last(decoder: nn.Module) -> None:
    """Put the weights of a WanDecoder3d into the memory format of tensor cores, in place."""
    for part in decoder.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
