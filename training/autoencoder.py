# SPDX-License-Identifier: Apache-2.0
"""Training of the small video autoencoder (Wan's architecture) on the pictures of demonstrations.

The encoder is set to principal components and stays so; the decoder learns to draw what the latents say.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..model.vae import VideoAutoencoder
from .episodes import Clip
from .optimise import Optimiser, OptimiserOptions
from .principal import start_decoder, start_encoder


@dataclasses.dataclass(frozen=True, slots=True)
class AutoencoderOptions(OptimiserOptions):
    """frames: 1 + 4k, of a training video; principal: start the encoder anew and keep it, else train both halves on;
    colour: how much more a saturated pixel counts than a grey one (the things that matter are small and coloured).
    """

    frames: int = 9
    principal: bool = True
    colour: float = 4.0
    rate: float = 1e-3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.frames % 4 != 1:
            raise ValueError(f"autoencoder.frames: expected 1 + 4k, got {self.frames}")


def train_autoencoder(
    vae: VideoAutoencoder,
    clips: Callable[[], Sequence[Clip]],
    options: AutoencoderOptions,
    log: Callable[[dict[str, Any]], None],
) -> None:
    """Train in place, then measure the mean and spread of the latents. clips: what has been recorded until now."""
    module, random = vae.module, np.random.default_rng(0)
    device = next(module.parameters()).device
    if options.principal:
        start_encoder(module, _draw(clips(), 48, options.frames, random, device))
        start_decoder(module)
    module.train().requires_grad_(True)
    for part in (module.encoder, module.quant_conv):
        part.requires_grad_(not options.principal)
    optimiser = Optimiser({"vae": module}, options)
    while optimiser.progress < 1:
        video = _draw(clips(), options.batch, options.frames, random, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            with torch.set_grad_enabled(not options.principal):
                latents = module.encode(video).latent_dist.mode()
            error = module.decode(latents).sample.float() - video
        weight = 1 + options.colour * (video.amax(1) - video.amin(1)).clamp(max=1)
        loss = (error.abs().mean(1) * weight).mean()
        loss.backward()
        optimiser.step()
        if optimiser.step_number % 50 == 0 or optimiser.progress >= 1:
            psnr = 10 * math.log10(4 / float(error.detach().square().mean()))
            log({"stage": "autoencoder", "step": optimiser.step_number, "loss": float(loss.detach()), "psnr": psnr})
    with torch.no_grad():
        for parameter, average in zip(optimiser.named.values(), optimiser.averaged().values(), strict=True):
            parameter.copy_(average)
    module.requires_grad_(False).eval()
    _measure(module, [_draw(clips(), options.batch, options.frames, random, device) for _ in range(8)])


@torch.no_grad()
def _measure(module: Any, videos: list[Tensor]) -> None:
    """Write the mean and the spread of every latent channel into the autoencoder's config."""
    latents = (
        torch.cat([module.encode(video).latent_dist.mode().float() for video in videos]).transpose(0, 1).flatten(1)
    )
    mean, spread = latents.mean(1).tolist(), latents.std(1).clamp(min=1e-3).tolist()
    module.register_to_config(latents_mean=mean, latents_std=spread)


def _draw(clips: Sequence[Clip], count: int, frames: int, random: np.random.Generator, device: torch.device) -> Tensor:
    """Random videos float32 [count, 3, frames, H, W] in -1..1; an episode that ends too soon stands still."""
    videos = []
    for _ in range(count):
        clip = clips[int(random.integers(len(clips)))].frames
        start = int(random.integers(max(1, len(clip) - frames + 1)))
        videos.append(clip[np.minimum(np.arange(start, start + frames), len(clip) - 1)])
    batch = torch.from_numpy(np.stack(videos)).to(device)
    return batch.permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
