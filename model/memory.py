# SPDX-License-Identifier: Apache-2.0
"""How much GPU memory a checkpoint takes, asked before it is loaded; and loading it with a `Speed`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from .config import ModelConfig, config_from_json
from .files import read_json
from .speed import PLACEMENTS, Speed, hasten
from .weights import Model, load_model

GIB = 2**30
BYTES = {"none": 2.0, "fp8": 1.0, "int8": 1.0, "nvfp4": 0.5625}  # per weight of a layer, from bfloat16
VAE, EYES = 704_688_668, 576_388_336  # parameters of what comes with every checkpoint
WORK = 3.5  # GiB for what comes and goes while it runs; measured with Nano: 3.2


def needed(config: ModelConfig, speed: Speed) -> float:
    """GiB on the GPU for a network in bfloat16 with everything beside it."""
    attention = 2 * config.hidden * (config.heads + config.kv_heads) * config.head_dim
    layer = attention + (3 if config.activation == "silu" else 2) * config.hidden * config.mlp
    total = 2.0 * config.vocab * config.hidden  # embedding
    if speed.placement != "reasoner":
        total += config.layers * layer * BYTES[speed.generator] + 2 * VAE
    if speed.placement == "policy":
        total += layer * BYTES[speed.text]
    else:
        total += config.layers * layer * BYTES[speed.text] + 2.0 * config.vocab * config.hidden + 2 * EYES
    return total / GIB + WORK


def check_memory(config: ModelConfig, speed: Speed, free: float) -> None:
    """ValueError if a checkpoint takes more than `free` GiB; it names what would fit."""
    need = needed(config, speed)
    if need <= free:
        return
    others = [
        dataclasses.replace(speed, placement=placement, generator=kind, text=kind)
        for placement in (speed.placement, *PLACEMENTS)
        for kind in BYTES
    ]
    fits = next((other for other in others if needed(config, other) <= free), None)
    hint = "none of the placements would fit"
    if fits is not None:
        hint = (
            f"placement {fits.placement!r} with {fits.generator!r} weights would fit ({needed(config, fits):.1f} GiB)"
        )
    kinds = f"{speed.generator!r} and {speed.text!r} weights"
    raise ValueError(
        f"placement {speed.placement!r} with {kinds} needs {need:.1f} GiB, the GPU has {free:.1f} GiB free; {hint}"
    )


def load_fast(
    path: str | Path, device: str, dtype: torch.dtype, speed: Speed, reasoner: bool = True, generator: bool = True
) -> Model:
    """Load a checkpoint folder and make it fast; see `load_model` and `Speed`. ValueError if it would not fit."""
    if speed.placement != "both":
        reasoner, generator = speed.placement == "reasoner", speed.placement == "policy"
    if device.startswith("cuda"):
        config = config_from_json(read_json(Path(path) / "transformer" / "config.json"))
        check_memory(config, speed, torch.cuda.mem_get_info(device)[0] / GIB)
    # What is to be rounded, or to stay off the GPU, never lies there as a whole.
    host = [f"{tower}.layers." for tower in ("generator", "text") if getattr(speed, tower) != "none"]
    host += ["text.layers."] if speed.placement == "policy" else []
    model = load_model(path, device, dtype, reasoner, generator, host=host)
    hasten(model, speed, device)
    return model
