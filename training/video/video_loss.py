# SPDX-License-Identifier: Apache-2.0
"""Flow matching of videos as Cosmos 3 is trained on them: text, image and video to video.

The loss is the mean over all latents of the squared error of the noisy ones' velocity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...model.network.transformer import Transformer
from ..stages.flow_matching_loss import noise_levels
from ..video_options import VideoOptions
from .video_dataset import VideoBatch, read_prompts


def draw_noisy_frames(
    count: int, frames: int, options: VideoOptions, device: torch.device
) -> Tensor:
    """Which latent frames are noisy, bool [count, frames]: all but the first 0, 1 or 2.

    At least the last one is; a picture is all noisy.
    """
    shares = torch.tensor(options.modes, dtype=torch.float32, device=device)
    known = torch.multinomial(shares, count, replacement=True).clamp(max=frames - 1)
    return torch.arange(frames, device=device) >= known[:, None]


def video_loss(
    transformer: Transformer, batch: VideoBatch, prompts: list[list[int]], options: VideoOptions
) -> Tensor:
    """The loss of a batch, a scalar; prompts: those of the dataset."""
    latents, device = batch.latents, batch.latents.device
    count, frames = latents.shape[0], latents.shape[2]
    noisy = draw_noisy_frames(count, frames, options, device)
    mask = noisy[:, None, :, None, None]
    level = noise_levels(count, options.shift_of(batch.size), device)
    noise = torch.randn_like(latents)
    share = level.view(-1, 1, 1, 1, 1) * mask
    said = [prompts[int(number)] for number in batch.prompts]
    shape = tuple(latents.shape[2:])
    velocity, _ = transformer.velocity(
        share * noise + (1 - share) * latents,
        1000 * level,
        *read_prompts(transformer, said, shape, batch.fps),
        noisy,
    )
    return ((velocity.float() - (noise - latents)) * mask).square().mean()
