# SPDX-License-Identifier: Apache-2.0
"""How much memory the generation of a picture or video takes, computed before anything is loaded.

What is alive at once, counted operation by operation in the code of the network and of the decoder;
a test counts again, at full size, without a GPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..autoencoder.tiled_decoder import Tile, smaller_tiles
from ..network.config import ModelConfig
from .memory_budget import GIB, weights
from .options import RuntimeOptions

# GiB of a GPU's context, the workspaces of its libraries, and keys and values of two prompts.
CONTEXT = 1.0
# Tensors in the shape of the picture's hidden states beside those of the MLP (one for libraries),
# of its queries and of its keys, and of the latents in float32: solver, guidance and noise.
HIDDEN_STATES, QUERY_STATES, KEY_STATES, LATENT_STATES = 5, 2, 2, 10
# Numbers alive in the decoder, for each pixel and each channel of `decoder_base_dim`, by the pixels
# of its first patch, when four latents are decoded at a time.
DECODER_STATES = 214


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """What is generated: frames, and height and width in pixels."""

    frames: int
    height: int
    width: int

    def latents(self, vae: Mapping[str, Any]) -> tuple[int, int, int]:
        """Frames, height and width in latents; vae: the autoencoder's config.json."""
        spatial = vae.get("scale_factor_spatial", 16)
        frames = 1 + (self.frames - 1) // vae.get("scale_factor_temporal", 4)
        return frames, self.height // spatial, self.width // spatial


@dataclasses.dataclass(frozen=True, slots=True)
class Need:
    """GiB at the peak of each stage, weights included, and the tile that the decoder takes."""

    weights: float
    denoise: float
    decode: float
    tile: Tile

    @property
    def peak(self) -> float:
        """GiB at most."""
        return max(self.denoise, self.decode)


def denoise_bytes(config: ModelConfig, latents: tuple[int, int, int], number: int) -> float:
    """Bytes of a pass of the network beside its weights; number: bytes of a number."""
    frames, height, width = latents
    tokens = frames * -(-height // config.patch) * -(-width // config.patch)
    mlp = (4 if config.activation == "silu" else 2) * config.mlp
    states = LATENT_STATES * 4 * config.latent_channels * frames * height * width
    heads = QUERY_STATES * config.heads + KEY_STATES * config.kv_heads
    width = mlp + HIDDEN_STATES * config.hidden + heads * config.head_dim
    return tokens * number * width + states


def decode_bytes(vae: Mapping[str, Any], tile: tuple[int, int], number: int) -> float:
    """Bytes of the decoder at work on a tile of so many latents; vae: its config.json."""
    spatial = vae.get("scale_factor_spatial", 16)
    pixels = spatial**2 * tile[0] * tile[1]
    base = vae.get("decoder_base_dim") or vae.get("base_dim", 96)
    return pixels * number * DECODER_STATES * base / (vae.get("patch_size") or 1) ** 2


def generation_need(
    config: ModelConfig,
    runtime: RuntimeOptions,
    vae: Mapping[str, Any],
    video: Video,
    free: float,
    number: int = 2,
    reasoner: bool = False,
) -> Need:
    """What a video takes, with the largest tile that fits into `free` GiB, else the smallest.

    number: bytes of a number, 2 for bfloat16; reasoner: its parts are loaded too.
    """
    frames, height, width = video.latents(vae)
    held = weights(config, runtime, reasoner=reasoner) * number / 2 + CONTEXT
    denoise = held + denoise_bytes(config, (frames, height, width), number) / GIB
    for tile in smaller_tiles(height, width):
        sides = (min(tile.height, height), min(tile.width, width))
        decode = held + decode_bytes(vae, sides, number) / GIB
        if decode <= free:
            break
    return Need(held - CONTEXT, denoise, decode, tile)


def check_generation(
    config: ModelConfig,
    runtime: RuntimeOptions,
    vae: Mapping[str, Any],
    video: Video,
    free: float,
    number: int = 2,
    reasoner: bool = False,
) -> Need:
    """`generation_need`; ValueError if it is more than `free` GiB names what would fit."""
    need = generation_need(config, runtime, vae, video, free, number, reasoner)
    if need.peak <= free:
        return need
    for kind, placement in (("none", "policy"), ("fp8", "both"), ("fp8", "policy")):
        other = dataclasses.replace(runtime, generator=kind, text=kind, placement=placement)
        less = generation_need(config, other, vae, video, free, number).peak
        if number == 2 and not reasoner and less <= free:
            hint = f"weights {kind!r} with placement {placement!r} would fit ({less:.1f} GiB)"
            break
    else:
        hint = "a smaller size or fewer frames take less"
    raise ValueError(
        f"{video.frames} frames of {video.height} x {video.width} need {need.peak:.1f} GiB "
        f"({need.weights:.1f} of weights), {free:.1f} GiB are free; {hint}"
    )
