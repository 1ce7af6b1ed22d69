# SPDX-License-Identifier: Apache-2.0
"""Training of the small video autoencoder (Wan's architecture) on the pictures of demonstrations.

The encoder is set to principal components and stays so; the decoder begins as the best linear
read-out of the latents and learns to draw what they say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...model.autoencoder.vae import VideoAutoencoder
from ...model.checkpoint_io.loader import load_vae
from ..data.episodes import Clip
from ..evaluation.image_metrics import decibels
from ..log import EVERY, Log
from ..optim.optimizer import Optimizer
from ..options import AutoencoderOptions, DecoderOptions
from .autoencoder_init import init_decoder, init_encoder
from .latent_encoder import PRECISE

_FITTED = 48  # videos that the beginning is fitted to


@dataclasses.dataclass(frozen=True, slots=True)
class Videos:
    """A batch of videos, with the actions that led to them."""

    pictures: Tensor  # float32 [B, 3, T, H, W] in -1..1
    rows: Tensor  # float32 [B, R, width], as in Clip
    instructions: list[str]


# latents, rows, instructions -> latents
Imagine = Callable[[Tensor, Tensor, Sequence[str]], Tensor]


def load_autoencoder(folder: Path, device: torch.device) -> VideoAutoencoder:
    """The checkpoint's autoencoder in float32, convolutions in the layout of tensor cores."""
    vae = load_vae(folder / "vae", device, torch.float32)
    for part in vae.module.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return vae


def train_autoencoder(
    vae: VideoAutoencoder,
    clips: Callable[[], Sequence[Clip]],
    options: AutoencoderOptions,
    log: Log,
    imagine: Imagine | None = None,
) -> None:
    """Train in place.

    clips: returns the clips recorded until now, of which only those with all frames are used.
    imagine: replaces normalized latents of a share of the videos before they are decoded, see
    DecoderOptions.
    """
    module, random = vae.module, np.random.default_rng(0)
    device = next(module.parameters()).device

    def draw(count: int) -> Videos:
        whole = [clip for clip in clips() if clip.whole and len(clip.starts)]
        if not whole:
            raise ValueError(
                "autoencoder: no demonstration was seen as a whole: raise data.warm_up or .whole"
            )
        return _draw(whole, count, options.frames, random, device)

    if options.start == "both":
        init_encoder(module, draw(_FITTED).pictures)
    if options.width:
        _widen(module, options.width)
    if options.start:
        init_decoder(module, draw(_FITTED).pictures)
    if options.steps:
        _train(vae, draw, options, log, imagine)
    if options.start == "both" or options.balance:
        _measure(module, [draw(options.batch).pictures for _ in range(8)], options.balance)


def _train(
    vae: VideoAutoencoder,
    draw: Callable[[int], Videos],
    options: AutoencoderOptions,
    log: Log,
    imagine: Imagine | None,
) -> None:
    """Train the decoder to reconstruct the videos from their latents."""
    module = vae.module
    device = next(module.parameters()).device
    module.train().requires_grad_(False)
    for part in (module.decoder, module.post_quant_conv):
        part.requires_grad_(True)
    optimizer = Optimizer({"vae": module}, options)
    torch.backends.cudnn.benchmark = True  # all batches have one shape
    while not optimizer.ended:
        optimizer.begin_round()
        videos = draw(options.batch)
        video = videos.pictures
        with torch.no_grad(), torch.autocast(device.type, PRECISE, enabled=device.type == "cuda"):
            latents = module.encode(video).latent_dist.mode().float()
        share = options.imagined if isinstance(options, DecoderOptions) else 0.0
        if imagine is not None and (count := round(share * len(latents))):
            _replace(latents, videos, count, vae, imagine)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            error = module.decode(latents).sample.float() - video
        weight = 1 + options.colour * (video.amax(1) - video.amin(1)).clamp(max=1)
        loss = ((error.abs() + options.square * error.square()).mean(1) * weight).mean()
        loss.backward()
        optimizer.step()
        if optimizer.is_told(EVERY):
            psnr = decibels(float(error.detach().square().mean()), 2)
            log(
                {
                    "stage": "autoencoder",
                    "step": optimizer.step_number,
                    "loss": float(loss.detach()),
                    "psnr": psnr,
                    **optimizer.oddities(),
                }
            )
    with torch.no_grad():
        for parameter, average in zip(
            optimizer.named.values(), optimizer.averaged().values(), strict=True
        ):
            parameter.copy_(average)
    module.requires_grad_(False).eval()


@torch.no_grad()
def _replace(
    latents: Tensor, videos: Videos, count: int, vae: VideoAutoencoder, imagine: Imagine
) -> None:
    """Replace the first `count` latents [N, C, T, h, w] by predicted ones."""
    mean, inverse = vae.scale()
    imagined = imagine(
        (latents[:count] - mean) * inverse, videos.rows[:count], videos.instructions[:count]
    )
    latents[:count] = imagined / inverse + mean


def _widen(module: Any, width: int) -> None:
    """Give the autoencoder a decoder of another decoder_base_dim, with random weights."""
    fresh = type(module).from_config({**module.config, "decoder_base_dim": width})
    module.decoder = fresh.decoder.to(next(module.parameters()).device)
    module.register_to_config(decoder_base_dim=width)


@torch.no_grad()
def _measure(module: Any, videos: list[Tensor], balance: float) -> None:
    """Write mean and standard deviation of every latent channel into the autoencoder's config."""
    latents = [module.encode(video).latent_dist.mode().float() for video in videos]
    values = torch.cat(latents).transpose(0, 1).flatten(1)
    mean, spread = values.mean(1), values.std(1).clamp(min=1e-3)
    if balance:
        scale = (spread * _sensitivity(module, latents[0], 0.3 * spread)) ** balance
        spread = spread / scale * scale.square().mean().sqrt()
    module.register_to_config(latents_mean=mean.tolist(), latents_std=spread.tolist())


def _sensitivity(module: Any, latents: Tensor, sizes: Tensor) -> Tensor:
    """Sensitivity of the picture to each latent channel [C]: root mean square change per unit.

    sizes: standard deviations [C] of the changes that are tried.
    """
    plain, changes = module.decode(latents).sample, []
    for channel, size in enumerate(sizes):
        changed = latents.clone()
        changed[:, channel] += size * torch.randn_like(changed[:, channel])
        changes.append((module.decode(changed).sample - plain).square().mean().sqrt() / size)
    return torch.stack(changes)


def _draw(
    clips: Sequence[Clip],
    count: int,
    frames: int,
    random: np.random.Generator,
    device: torch.device,
) -> Videos:
    """Random windows; after the end of an episode its last frame is repeated."""
    shape = (count, frames, *clips[0].frames.shape[1:])
    pictures = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    rows, instructions = [], []
    for picture in pictures.numpy():  # each is written once, where the device reads it
        clip = clips[int(random.integers(len(clips)))]
        window = int(random.integers(len(clip.starts)))
        # clip: to raise, numpy would write into a buffer first
        np.take(clip.frames, clip.window(frames)[window], axis=0, out=picture, mode="clip")
        rows.append(clip.rows[window])
        instructions.append(clip.instructions[int(random.integers(len(clip.instructions)))])
    batch = pictures.to(device, non_blocking=True).permute(0, 4, 1, 2, 3)
    return Videos(
        batch.float() / 127.5 - 1.0, torch.from_numpy(np.stack(rows)).to(device), instructions
    )
