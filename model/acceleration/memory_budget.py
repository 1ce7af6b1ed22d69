# SPDX-License-Identifier: Apache-2.0
"""How much GPU memory a checkpoint takes, computed before it is loaded."""

from __future__ import annotations

import dataclasses

from ..network.config import ModelConfig
from ..runtime.quantize import FORMATS
from .options import PLACEMENTS, RuntimeOptions

GIB = 2**30
# Parameters of the video autoencoder and of the vision encoder, alike in every checkpoint.
VAE, VISION_ENCODER = 704_688_668, 576_388_336
# GiB for activations and workspaces; measured with Nano: 3.2.
WORKSPACE = 3.5


def needed(config: ModelConfig, runtime: RuntimeOptions, ranks: int = 1) -> float:
    """GiB on the GPU for a network in bfloat16 with the encoders and everything it works with.

    ranks: how many GPUs split the layers, which are loaded in bfloat16 and quantized there.
    """
    return weights(config, runtime, ranks) + WORKSPACE


def weights(
    config: ModelConfig, runtime: RuntimeOptions, ranks: int = 1, reasoner: bool = True
) -> float:
    """GiB of the weights alone, see `needed`; reasoner: with lm_head and vision encoder."""

    def bytes_per_weight(tower: str) -> float:
        kind = getattr(runtime, tower) if ranks == 1 else "none"
        return FORMATS[kind].bytes_per_weight / ranks

    attention = 2 * config.hidden * (config.heads + config.kv_heads) * config.head_dim
    layer = attention + (3 if config.activation == "silu" else 2) * config.hidden * config.mlp
    total = 2.0 * config.vocab * config.hidden  # embedding
    if runtime.placement != "reasoner":
        total += config.layers * layer * bytes_per_weight("generator") + 2 * VAE
    if runtime.placement == "policy":
        total += layer * bytes_per_weight("text")
    else:
        head = 2.0 * config.vocab * config.hidden / ranks if reasoner else 0.0
        total += config.layers * layer * bytes_per_weight("text") + head
        total += 2 * VISION_ENCODER if reasoner else 0
    return total / GIB


def check_memory(config: ModelConfig, runtime: RuntimeOptions, free: float, ranks: int = 1) -> None:
    """ValueError if a checkpoint takes more than `free` GiB; its text names what would fit.

    ranks: see `needed`.
    """
    need = needed(config, runtime, ranks)
    if need <= free:
        return
    kinds = f"{runtime.generator!r} and {runtime.text!r} weights"
    among = f" on each of {ranks} GPUs" if ranks > 1 else ""
    raise ValueError(
        f"placement {runtime.placement!r} with {kinds} needs {need:.1f} GiB{among}, "
        f"the GPU has {free:.1f} GiB free; {_hint(config, runtime, free, ranks)}"
    )


def _hint(config: ModelConfig, runtime: RuntimeOptions, free: float, ranks: int) -> str:
    """What would fit: the same placement with fewer bits, another placement, more GPUs."""
    others = [
        dataclasses.replace(runtime, placement=placement, generator=kind, text=kind)
        for placement in (runtime.placement, *PLACEMENTS)
        for kind in FORMATS
    ]
    for other in others if ranks == 1 else ():
        if (need := needed(config, other)) <= free:
            return (
                f"placement {other.placement!r} with {other.generator!r} weights would fit "
                f"({need:.1f} GiB)"
            )
    for more in (2, 4, 8):
        need = needed(config, dataclasses.replace(runtime, placement="both"), more)
        if more > ranks and config.kv_heads % more == 0 and need <= free:
            return f"placement 'both' split over {more} GPUs would fit ({need:.1f} GiB on each)"
    return "none of the placements would fit"
