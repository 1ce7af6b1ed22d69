# SPDX-License-Identifier: Apache-2.0
"""Latents to video: what the decoder of diffusers' AutoencoderKLWan draws, with its weights and fewer products.

Several latents go at a time, and every convolution is one of pictures. The first frame is the
picture it is. Frames after it come in pairs, four convolutions of pictures for the six that two
frames ask for (Winograd's F(2, 3), in time). What convolves pixels made twice as large convolves
them as they were, four in place of nine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan as wan
from torch import Tensor, nn
from torch.nn import functional

# latents after the first, an even number: enough to fill a GPU, and memory grows with them
AT_ONCE = 4

Step = Callable[[Any, Tensor, Sequence[Tensor]], tuple[Tensor, Sequence[Tensor]]]


class _Past:
    """The last two frames that each convolution over time saw, in the order in which they run.

    Between the convolutions frames lie as they are paired: first those at even places, then those
    at odd ones.
    """

    def __init__(self, before: Sequence[Tensor]):
        self.first = not before  # nothing but padding lies before the first frame
        self._before = list(before)
        self.after: list[Tensor] = []

    def convolve(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """Each of the frames [T, C, H, W] and the two before it, with a kernel for each of the three."""
        place: dict[str, Any] = {"padding": tuple(size // 2 for size in conv.kernel_size[1:])}
        far, near, here = conv.weight.unbind(2)
        if self.first:
            self._keep(torch.zeros_like(x), x)
            return functional.conv2d(x, here, conv.bias, **place)
        (c, d), (before_c, before_d) = x.chunk(2), self._before.pop(0).chunk(2)
        a, b = torch.cat([before_c, c[:-1]]), torch.cat([before_d, d[:-1]])
        self._keep(c[-1:], d[-1:])
        one = functional.conv2d(a - c, far, **place)
        two = functional.conv2d(b + c, (far + near + here) / 2, conv.bias, **place)
        three = functional.conv2d(c - b, (far - near + here) / 2, **place)
        four = functional.conv2d(b - d, here, **place)
        return torch.cat([one + two + three, two - three - four])

    # laid out alike every time, or `draw` would be compiled anew
    def _keep(self, *frames: Tensor) -> None:
        self.after.append(torch.cat(frames).contiguous(memory_format=torch.channels_last))

    def double(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """Two frames for each, but for a video's first one: it stays alone, and those after it do not see it here."""
        if self.first:
            self._keep(torch.zeros_like(x), torch.zeros_like(x))
            return x
        return _apart(_in_time(self.convolve(conv, x)).unflatten(1, (2, -1)).flatten(0, 1))


def _apart(x: Tensor) -> Tensor:
    """Frames in time -> those at even places, then those at odd ones. A lone frame stays."""
    return x if len(x) == 1 else torch.cat([x[::2], x[1::2]])


def _in_time(x: Tensor) -> Tensor:
    """The way back."""
    return x if len(x) == 1 else torch.stack(x.chunk(2), dim=1).flatten(0, 1)


def draw_video(module: Any, latents: Tensor, step: Step) -> Tensor:
    """Latents [z, t, h, w] as an AutoencoderKLWan has them -> video [3, 1 + 4 (t - 1), 16 h, 16 w] in -1..1.

    step: `draw`, or what it was compiled to.
    """
    past: Sequence[Tensor] = []
    frames = []
    pictures = latents.transpose(0, 1).contiguous()
    for part in (
        pictures[:1],
        *(pictures[start : start + AT_ONCE] for start in range(1, len(pictures), AT_ONCE)),
    ):
        pairs = torch.cat([part, part[-1:]]) if past and len(part) % 2 else part
        drawn, past = step(module, pairs, past)
        frames.append(drawn[: len(drawn) // len(pairs) * len(part)])
    return torch.cat(frames).transpose(0, 1)


def draw(module: Any, latents: Tensor, before: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
    """Frames [T, 3, H, W] of the latents [n, z, h, w] that come next, and the past of those after them.

    before: the past of these, nothing for the first latent, which comes alone.
    """
    decoder, past = module.decoder, _Past(before)
    x = past.convolve(decoder.conv_in, _apart(_each(module.post_quant_conv, latents)))
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


def _level(level: Any, x: Tensor, past: _Past) -> Tensor:
    y = x
    for block in level.resnets:
        y = _residual(block, y, past)
    if level.upsampler is None:
        return y
    if level.upsampler.mode == "upsample3d":
        y = past.double(level.upsampler.time_conv, y)
    shortcut = level.avg_shortcut(_in_time(x).transpose(0, 1).unsqueeze(0), first_chunk=past.first)
    return _enlarge(level.upsampler.resample[1], y) + _apart(shortcut.squeeze(0).transpose(0, 1))


def _residual(block: Any, x: Tensor, past: _Past) -> Tensor:
    y = past.convolve(block.conv1, _active(block.norm1, x))
    y = past.convolve(block.conv2, _active(block.norm2, y))
    return (_each(block.conv_shortcut, x) if isinstance(block.conv_shortcut, nn.Conv3d) else x) + y


def _active(norm: wan.WanRMS_norm, x: Tensor) -> Tensor:
    """silu(norm(x)), rounded once."""
    size = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp(min=1e-12)
    return functional.silu(x / size * (norm.scale * norm.gamma[:, 0])).to(x.dtype)


def _each(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """A convolution that sees one pixel."""
    return functional.conv2d(x, conv.weight[:, :, 0], conv.bias)


def _enlarge(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve pictures whose every pixel was made 2 x 2: of the 3 x 3 that a new one then sees only 2 x 2 differ.

    As a transposed convolution: its kernel is the given one, turned, once for each of the four
    copies of a pixel.
    """
    kernel = 4 * functional.avg_pool2d(
        conv.weight.transpose(0, 1).flip(2, 3), 2, stride=1, padding=1
    )
    return functional.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)


def lay_out(decoder: nn.Module) -> None:
    """Order the weights of a WanDecoder3d as tensor cores want them, in place."""
    for part in decoder.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
