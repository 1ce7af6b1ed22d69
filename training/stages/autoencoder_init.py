# SPDX-License-Identifier: Apache-2.0
"""Initial weights of the video autoencoder from a few videos, instead of random ones.

A random encoder takes long to let anything through. Here residual branches begin at zero, every
downsampling of the encoder keeps the principal components of its input, and the latents are,
nearly, the principal components of patches of 16 x 16 pixels.

The decoder is the best linear read-out of the latents: every convolution outside the residual
branches is fitted by least squares to the pictures at its level: first cells of 16 pixels and pairs
of frames, then 8 pixels, then every frame, then 4 pixels, then single pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import patchify
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

# Added to the input of the last norm, in units of the signal's standard deviation: it keeps norm
# and SiLU nearly linear.
_OFFSET = 5.0
_ROWS = 80_000  # positions that a least-squares fit looks at


@torch.no_grad()
def init_encoder(module: Any, videos: Tensor) -> None:
    """Set the encoder of an AutoencoderKLWan in place from videos [N, 3, T, H, W] in -1..1.

    T = 1 + 4k.
    """
    encoder = module.encoder
    _zero_residual_branches(encoder)
    for name, parameter in encoder.named_parameters():
        if "conv_shortcut.weight" in name:
            parameter.copy_(
                torch.eye(*parameter.shape[:2], device=parameter.device)[..., None, None, None]
            )
        elif name.endswith("bias") and "norm" not in name:
            nn.init.zeros_(parameter)
    _keep_components(encoder.conv_in, _encoder_inputs(module, encoder.conv_in, videos))
    levels = [block.downsampler for block in encoder.down_blocks if block.downsampler is not None]
    for number, level in enumerate(levels):
        last = number == len(levels) - 1
        convolution = level.resample[1]
        if hasattr(level, "time_conv"):  # the mean over time
            eye = torch.eye(level.time_conv.weight.shape[0], device=videos.device)
            level.time_conv.weight.copy_(
                eye[..., None, None, None].expand_as(level.time_conv.weight) / 3
            )
        spread = _keep_components(
            convolution,
            _encoder_inputs(module, convolution, videos),
            module.config.z_dim if last else 0,
        )
        if last:
            convolution.bias.fill_(_OFFSET * float(spread))
    _output_components(module, encoder.conv_out, _encoder_inputs(module, encoder.conv_out, videos))


@torch.no_grad()
def init_decoder(module: Any, videos: Tensor) -> None:
    """Set the decoder of an AutoencoderKLWan in place from videos [N, 3, T, H, W] in -1..1.

    T = 1 + 4k, k > 0. The encoder must have its final weights. ValueError unless the decoder
    doubles time and space twice.
    """
    decoder = module.decoder
    levels = [block for block in decoder.up_blocks if block.upsampler is not None]
    if len(levels) != 2 or not all(block.upsampler.mode == "upsample3d" for block in levels):
        raise ValueError("autoencoder: expected a decoder that doubles time and space twice")
    _zero_residual_branches(decoder)
    latents = _encoded(module, videos)
    width, cells = decoder.conv_in.weight.shape[0], _rows(latents)
    basis = (
        torch.eye(width, cells.shape[1]).to(cells)
        if width >= cells.shape[1]
        else _components(cells, width)
    )
    _apply_matrix(module.post_quant_conv, torch.eye(cells.shape[1]))
    _apply_matrix(decoder.conv_in, basis)
    pairs = torch.cat([videos[:, :, :1], videos[:, :, 1:].unflatten(2, (-1, 2)).mean(3)], 2)
    goal = _project(
        torch.cat([_encoded(module, pairs[:, :, t : t + 1]) for t in range(pairs.shape[2])], 2),
        basis,
    )
    side = module.config.patch_size
    for block, frames, pixels in ((levels[0], pairs, 2 * side), (levels[1], videos, side)):
        up, (given,) = block.upsampler, _decoder_inputs(module, latents, block.upsampler.time_conv)
        both = goal[:, :, 1:].unflatten(2, (-1, 2))  # the first frame is not doubled
        _fit(up.time_conv, given, torch.cat([both[:, :, :, 0], both[:, :, :, 1]], 1))
        given, shortcut = _decoder_inputs(module, latents, up.resample[1], block.avg_shortcut)
        tiles = patchify(frames, pixels)
        basis = _components(_rows(tiles), up.resample[1].weight.shape[0])
        _fit(up.resample[1], given, _project(tiles, basis) - shortcut)
        if frames is pairs:  # next: of each frame what is now known of its pair
            goal = _project(patchify(videos, pixels), basis)
    last, tiles = decoder.up_blocks[-1].resnets[0].conv_shortcut, patchify(videos, side)
    if not isinstance(last, nn.Identity):
        _narrow(last, _decoder_inputs(module, latents, last)[0], tiles)
    _fit(decoder.conv_out, _decoder_inputs(module, latents, decoder.conv_out)[0], tiles)


def _zero_residual_branches(half: nn.Module) -> None:
    """Let every residual and attention block of an encoder or decoder pass on its input."""
    for name, parameter in half.named_parameters():
        if "conv2." in name or ".proj." in name:
            nn.init.zeros_(parameter)


def _inputs(layer: nn.Module, run: Callable[[], object]) -> list[Tensor]:
    """The inputs of a layer, one for each call of it, while `run` runs."""
    given: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0].clone()))
    run()
    hook.remove()
    return given


def _eigenvectors(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first eigenvectors [count, C] and eigenvalues [count] of a covariance, largest first."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors.flip(1)[:, :count].T, values.flip(0)[:count]


# ---- encoder


def _encoder_inputs(module: Any, layer: nn.Module, videos: Tensor) -> Tensor:
    """The inputs of a layer of the encoder: [frames, h, w, C]."""
    return torch.cat(
        [
            part.movedim(1, -1).flatten(0, -4) if part.dim() == 5 else part.movedim(1, -1)
            for part in _inputs(layer, lambda: module.encode(videos))
        ]
    )


def _weighted_components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal directions [count, D] and values of samples [N, D] (not centered).

    A sample counts more the less uniform its entries are.
    """
    weight = 1 + 8 * samples.std(1, keepdim=True)
    covariance = (samples * weight).T @ samples / len(samples)
    directions, values = _eigenvectors(covariance, count)
    return directions.to(samples), values.to(samples)


def _keep_components(layer: Any, given: Tensor, count: int = 0) -> Tensor:
    """Let a convolution compute the principal components of its input [N, h, w, C].

    count: how many, 0 for all channels. Returns the standard deviation of the first one.
    """
    weight = torch.zeros_like(layer.weight)
    if weight.dim() == 5:  # of single positions at the present time
        directions, values = _weighted_components(given.flatten(0, -2), weight.shape[0])
        weight[: len(directions), :, -1, 1, 1] = directions
    else:  # of 2 x 2 positions
        batch, height, width, channels = given.shape
        height, width = height // 2 * 2, width // 2 * 2  # without the padding
        tiles = given[:, :height, :width].reshape(batch, height // 2, 2, width // 2, 2, channels)
        tiles = tiles.permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(0, 2)
        directions, values = _weighted_components(tiles, count or weight.shape[0])
        weight[: len(directions), :, :2, :2] = directions.unflatten(1, (2, 2, channels)).permute(
            0, 3, 1, 2
        )
    layer.weight.copy_(weight)
    return values[0].sqrt()


def _output_components(module: Any, layer: Any, given: Tensor) -> None:
    """Latents = whitened principal components of the last features, with a variance near zero."""
    features = given.flatten(0, -2)
    mean = features.mean(0)
    directions, values = _weighted_components(features - mean, layer.weight.shape[0] // 2)
    directions = directions / values.clamp(min=1e-8).sqrt()[:, None]
    count = len(directions)
    layer.weight.zero_()
    layer.weight[:count, :, -1, 1, 1] = directions
    layer.bias.zero_()
    layer.bias[:count] = -directions @ mean
    module.quant_conv.weight.copy_(torch.eye(2 * count, device=mean.device)[..., None, None, None])
    module.quant_conv.bias.zero_()
    module.quant_conv.bias[count:] = -10.0


# ---- decoder


def _encoded(module: Any, videos: Tensor) -> Tensor:
    return module.encode(videos).latent_dist.mode()


def _decoder_inputs(
    module: Any, latents: Tensor, layer: nn.Module, shortcut: nn.Module | None = None
) -> tuple[Tensor, ...]:
    """The inputs of a layer of the decoder, and the outputs of a shortcut: [N, C, T, h, w] each."""
    outputs: list[Tensor] = []
    hooks: list[RemovableHandle] = []
    if shortcut is not None:
        hooks += [
            shortcut.register_forward_hook(lambda _module, _given, output: outputs.append(output))
        ]
    given = _inputs(layer, lambda: module.decode(latents))
    for hook in hooks:
        hook.remove()
    if given[0].dim() == 4:  # frames of all videos in one batch
        given = [frames.unflatten(0, (len(latents), -1)).transpose(1, 2) for frames in given]
    return tuple(torch.cat(parts, 2) for parts in (given, outputs) if parts)


def _rows(x: Tensor) -> Tensor:
    return x.movedim(1, -1).flatten(0, -2)


def _project(x: Tensor, basis: Tensor) -> Tensor:
    return torch.einsum("dc,ncthw->ndthw", basis, x)


def _components(rows: Tensor, count: int) -> Tensor:
    """Principal directions [count, C] of samples [N, C], zeros where there are fewer."""
    centered = (rows - rows.mean(0)).double()
    directions = _eigenvectors(centered.T @ centered / len(rows), count)[0].to(rows)
    return nn.functional.pad(directions, (0, 0, 0, count - len(directions)))


def _apply_matrix(layer: Any, matrix: Tensor) -> None:
    """Let a convolution apply a matrix at every single position (the last tap in time)."""
    layer.weight.zero_()
    layer.bias.zero_()
    layer.weight[:, :, -1, layer.weight.shape[3] // 2, layer.weight.shape[4] // 2] = matrix.to(
        layer.weight
    )


def _sample(x: Tensor, goal: Tensor, kernel: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Inputs of a causal convolution at random positions of x [N, C, T, h, w], and the goal there.

    Returns [rows, C * kernel] and [rows, D].
    """
    time, height, width = kernel
    margins = (width // 2, width // 2, height // 2, height // 2, time - 1, 0)
    around = (
        nn.functional.pad(x, margins).unfold(2, time, 1).unfold(3, height, 1).unfold(4, width, 1)
    )
    sizes = (goal.shape[0], *goal.shape[2:])
    count = min(_ROWS, goal[:, 0].numel())
    index = torch.randperm(goal[:, 0].numel(), device=x.device)[:count]
    n, t, i, j = torch.unravel_index(index, sizes)
    return around[n, :, t, i, j].flatten(1), goal[n, :, t, i, j]


def _solve(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [D, K] and bias [D] of the ridge regression y [N, D] on x [N, K]."""
    rows = nn.functional.pad(x, (0, 1), value=1.0).double()
    square = rows.T @ rows / len(rows)
    square.diagonal().add_(1e-5 * square.diagonal().mean())
    solution = torch.linalg.solve(square, rows.T @ y.double() / len(rows)).T.to(x)
    return solution[:, :-1], solution[:, -1]


def _fit(layer: Any, x: Tensor, goal: Tensor) -> None:
    """Set a convolution to the ridge regression of the goal on its input."""
    kernel = (1, 1, 1, *layer.kernel_size)[-3:]
    weight, bias = _solve(*_sample(x, goal, kernel))
    layer.weight.copy_(weight.view_as(layer.weight))
    layer.bias.copy_(bias)


def _narrow(layer: Any, x: Tensor, goal: Tensor) -> None:
    """Let a 1 x 1 x 1 convolution keep the components that best predict the goal, plus _OFFSET."""
    rows, wanted = _sample(x, goal, (1, 1, 1))
    weight, _ = _solve(rows, wanted)
    matrix = _components(rows @ weight.T, layer.weight.shape[0]) @ weight
    matrix = matrix / (rows @ matrix.T).std(0).max()
    _apply_matrix(layer, matrix)
    layer.bias.copy_(_OFFSET - matrix @ rows.mean(0))
