# SPDX-License-Identifier: Apache-2.0
"""A start for the video autoencoder's decoder: the best linear read-out of the latents, layer by layer.

Residual branches begin at zero; every other convolution is fitted by least squares to what the
pictures hold at its level: first cells of 16 pixels and pairs of frames, then 8 pixels, then every
frame, then 4 pixels, then all of it.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify
from torch import Tensor, nn

# what the last norm sees beside the signal, in units of its spread: it keeps norm and SiLU nearly
# linear
_OFFSET = 5.0
_ROWS = 80_000  # places that a fit looks at


@torch.no_grad()
def start_decoder(module: Any, videos: Tensor) -> None:
    """Set the decoder of an AutoencoderKLWan in place from videos [N, 3, T, H, W] in -1..1, T = 1 + 4k, k > 0.

    Its encoder must be what it will be. ValueError unless the decoder doubles time and space twice.
    """
    decoder = module.decoder
    levels = [block for block in decoder.up_blocks if block.upsampler is not None]
    if len(levels) != 2 or not all(block.upsampler.mode == "upsample3d" for block in levels):
        raise ValueError("autoencoder: expected a decoder that doubles time and space twice")
    for name, parameter in decoder.named_parameters():
        if "conv2." in name or ".proj." in name:
            nn.init.zeros_(parameter)
    latents = _encoded(module, videos)
    width, cells = decoder.conv_in.weight.shape[0], _rows(latents)
    basis = (
        torch.eye(width, cells.shape[1]).to(cells)
        if width >= cells.shape[1]
        else _components(cells, width)
    )
    _point(module.post_quant_conv, torch.eye(cells.shape[1]))
    _point(decoder.conv_in, basis)
    pairs = torch.cat([videos[:, :, :1], videos[:, :, 1:].unflatten(2, (-1, 2)).mean(3)], 2)
    goal = _project(
        torch.cat([_encoded(module, pairs[:, :, t : t + 1]) for t in range(pairs.shape[2])], 2),
        basis,
    )
    side = module.config.patch_size
    for block, frames, pixels in ((levels[0], pairs, 2 * side), (levels[1], videos, side)):
        up, (seen,) = block.upsampler, _seen(module, latents, block.upsampler.time_conv)
        both = goal[:, :, 1:].unflatten(2, (-1, 2))  # the first frame is not doubled
        _fit(up.time_conv, seen, torch.cat([both[:, :, :, 0], both[:, :, :, 1]], 1))
        seen, around = _seen(module, latents, up.resample[1], block.avg_shortcut)
        tiles = patchify(frames, pixels)
        basis = _components(_rows(tiles), up.resample[1].weight.shape[0])
        _fit(up.resample[1], seen, _project(tiles, basis) - around)
        if frames is pairs:  # next: of each frame what is now known of its pair
            goal = _project(patchify(videos, pixels), basis)
    last, tiles = decoder.up_blocks[-1].resnets[0].conv_shortcut, patchify(videos, side)
    if not isinstance(last, nn.Identity):
        _narrow(last, _seen(module, latents, last)[0], tiles)
    _fit(decoder.conv_out, _seen(module, latents, decoder.conv_out)[0], tiles)


def _encoded(module: Any, videos: Tensor) -> Tensor:
    return module.encode(videos).latent_dist.mode()


def _seen(
    module: Any, latents: Tensor, layer: nn.Module, beside: nn.Module | None = None
) -> tuple[Tensor, ...]:
    """What a layer is given while the latents are decoded, and what another gives then: [N, C, T, h, w] each."""
    given: list[Tensor] = []
    others: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0].clone()))
    ]
    if beside is not None:
        hooks += [
            beside.register_forward_hook(lambda _module, _inputs, output: others.append(output))
        ]
    module.decode(latents)
    for hook in hooks:
        hook.remove()
    if given[0].dim() == 4:  # frames of all videos in one batch
        given = [frames.unflatten(0, (len(latents), -1)).transpose(1, 2) for frames in given]
    return tuple(torch.cat(parts, 2) for parts in (given, others) if parts)


def _rows(x: Tensor) -> Tensor:
    return x.movedim(1, -1).flatten(0, -2)


def _project(x: Tensor, basis: Tensor) -> Tensor:
    return torch.einsum("dc,ncthw->ndthw", basis, x)


def _components(rows: Tensor, count: int) -> Tensor:
    """Principal directions [count, C] of samples [N, C], zeros where there are no more."""
    centered = (rows - rows.mean(0)).double()
    directions = (
        torch.linalg.eigh(centered.T @ centered / len(rows))[1].flip(1)[:, :count].T.to(rows)
    )
    return nn.functional.pad(directions, (0, 0, 0, count - len(directions)))


def _point(layer: Any, matrix: Tensor) -> None:
    """Let a convolution apply a matrix at every place alone; causal ones have the present last."""
    layer.weight.zero_()
    layer.bias.zero_()
    layer.weight[:, :, -1, layer.weight.shape[3] // 2, layer.weight.shape[4] // 2] = matrix.to(
        layer.weight
    )


def _sample(x: Tensor, goal: Tensor, kernel: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """What a causal convolution sees at random places of x [N, C, T, h, w], and the goal there: [rows, ...]."""
    time, height, width = kernel
    margins = (width // 2, width // 2, height // 2, height // 2, time - 1, 0)
    around = (
        nn.functional.pad(x, margins).unfold(2, time, 1).unfold(3, height, 1).unfold(4, width, 1)
    )
    sizes = (goal.shape[0], *goal.shape[2:])
    count = min(_ROWS, goal[:, 0].numel())
    place = torch.randperm(goal[:, 0].numel(), device=x.device)[:count]
    n, t, i, j = torch.unravel_index(place, sizes)
    return around[n, :, t, i, j].flatten(1), goal[n, :, t, i, j]


def _solve(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [D, K] and bias [D] of the ridge regression y [N, D] on x [N, K]."""
    rows = nn.functional.pad(x, (0, 1), value=1.0).double()
    square = rows.T @ rows / len(rows)
    square.diagonal().add_(1e-5 * square.diagonal().mean())
    solution = torch.linalg.solve(square, rows.T @ y.double() / len(rows)).T.to(x)
    return solution[:, :-1], solution[:, -1]


def _fit(layer: Any, x: Tensor, goal: Tensor) -> None:
    kernel = (1, 1, 1, *layer.kernel_size)[-3:]
    weight, bias = _solve(*_sample(x, goal, kernel))
    layer.weight.copy_(weight.view_as(layer.weight))
    layer.bias.copy_(bias)


def _narrow(layer: Any, x: Tensor, goal: Tensor) -> None:
    """Let a convolution of one place keep what says most about the goal, with an offset for the norm behind it."""
    rows, wanted = _sample(x, goal, (1, 1, 1))
    weight, _ = _solve(rows, wanted)
    matrix = _components(rows @ weight.T, layer.weight.shape[0]) @ weight
    matrix = matrix / (rows @ matrix.T).std(0).max()
    _point(layer, matrix)
    layer.bias.copy_(_OFFSET - matrix @ rows.mean(0))
