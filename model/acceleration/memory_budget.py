# SPDX-License-Identifier: Apache-2.0
"""How much GPU memory a checkpoint takes, asked before it is loaded.

And loading it with a `Speed`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..checkpoint_io.loader import load_model
from ..checkpoint_io.safetensors_io import read_json
from ..loaded_model import Model
from ..network.config import ModelConfig, config_from_json
from .optimize import PLACEMENTS, RuntimeOptions, optimize
from .tensor_parallel import split_of

if TYPE_CHECKING:
    from ..runtime.process_group import InferenceGroup

GIB = 2**30
# per weight of a layer, from bfloat16
BYTES = {"none": 2.0, "fp8": 1.0, "int8": 1.0, "nvfp4": 0.5625}
VAE, EYES = 704_688_668, 576_388_336  # parameters of what comes with every checkpoint
WORK = 3.5  # GiB for what comes and goes while it runs; measured with Nano: 3.2


def needed(config: ModelConfig, speed: RuntimeOptions, ranks: int = 1) -> float:
    """GiB on the GPU for a network in bfloat16 with everything beside it.

    ranks: how many GPUs split the layers; their weights are rounded only when all are there.
    """
    kinds = {
        tower: BYTES[getattr(speed, tower) if ranks == 1 else "none"] / ranks
        for tower in ("generator", "text")
    }
    attention = 2 * config.hidden * (config.heads + config.kv_heads) * config.head_dim
    layer = attention + (3 if config.activation == "silu" else 2) * config.hidden * config.mlp
    total = 2.0 * config.vocab * config.hidden  # embedding
    if speed.placement != "reasoner":
        total += config.layers * layer * kinds["generator"] + 2 * VAE
    if speed.placement == "policy":
        total += layer * kinds["text"]
    else:
        total += (
            config.layers * layer * kinds["text"]
            + 2.0 * config.vocab * config.hidden / ranks
            + 2 * EYES
        )
    return total / GIB + WORK


def check_memory(config: ModelConfig, speed: RuntimeOptions, free: float, ranks: int = 1) -> None:
    """ValueError if a checkpoint takes more than `free` GiB.

    It names what would fit. ranks: see `needed`.
    """
    need = needed(config, speed, ranks)
    if need <= free:
        return
    kinds = f"{speed.generator!r} and {speed.text!r} weights"
    among = f" on each of {ranks} GPUs" if ranks > 1 else ""
    hint = _hint(config, speed, free, ranks)
    raise ValueError(
        f"placement {speed.placement!r} with {kinds} needs {need:.1f} GiB{among}, the GPU has {free:.1f} GiB free; "
        f"{hint}"
    )


def _hint(config: ModelConfig, speed: RuntimeOptions, free: float, ranks: int) -> str:
    """What would fit: the same placement with fewer bits, another one, more GPUs."""
    others = [
        dataclasses.replace(speed, placement=placement, generator=kind, text=kind)
        for placement in (speed.placement, *PLACEMENTS)
        for kind in BYTES
    ]
    for other in others if ranks == 1 else ():
        if (need := needed(config, other)) <= free:
            return f"placement {other.placement!r} with {other.generator!r} weights would fit ({need:.1f} GiB)"
    for more in (2, 4, 8):
        need = needed(config, dataclasses.replace(speed, placement="both"), more)
        if more > ranks and config.kv_heads % more == 0 and need <= free:
            return f"placement 'both' split over {more} GPUs would fit ({need:.1f} GiB on each)"
    return "none of the placements would fit"


def load_fast(
    path: str | Path,
    device: str,
    dtype: torch.dtype,
    speed: RuntimeOptions,
    reasoner: bool = True,
    generator: bool = True,
    team: InferenceGroup | None = None,
) -> Model:
    """Load a checkpoint folder and make it fast; see `load_model` and `Speed`.

    ValueError if it would not fit.

    team: the processes that share the model, each of which calls this.
    """
    if team and speed.graphs:
        raise ValueError(
            "speed.graphs: expected False for a model that several processes share, got True"
        )
    split = split_of(team)
    if split and speed.placement == "policy":
        raise ValueError(
            "speed.placement: expected 'both' or 'reasoner' where layers are split, got 'policy'"
        )
    if speed.placement != "both":
        reasoner, generator = speed.placement == "reasoner", speed.placement == "policy"
    if device.startswith("cuda"):
        config = config_from_json(read_json(Path(path) / "transformer" / "config.json"))
        check_memory(
            config, speed, torch.cuda.mem_get_info(device)[0] / GIB, split.ranks if split else 1
        )
    # What is to be rounded, or to stay off the GPU, never lies there as a whole; but a share does.
    rounded = [
        tower for tower in ("generator", "text") if getattr(speed, tower) != "none" and not split
    ]
    host = {*rounded, *(["text"] if speed.placement == "policy" else [])}
    model = load_model(
        path,
        device,
        dtype,
        reasoner,
        generator,
        host=[f"{tower}.layers." for tower in host],
        team=team,
    )
    optimize(model, speed, device)
    return model
