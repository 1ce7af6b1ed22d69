# SPDX-License-Identifier: Apache-2.0
"""Lower bound of a guided step of the generator: its matrix products and attention alone."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from full_size import milliseconds
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from cosmos3_ros.model.embodiment import Embodiment
from cosmos3_ros.model.network.config import ModelConfig
from cosmos3_ros.model.runtime.quantize import E4M3


def floor(config: ModelConfig, body: Embodiment, device: str) -> dict[str, Any]:
    """The products and the attention of a guided step alone, as fast as the libraries do them."""
    gpu = device.startswith("cuda")
    patches = np.prod([-(-side // 32) for side in body.canvas.content])
    rows = (1 + body.horizon // 4) * int(patches) + body.horizon + 1
    heads, groups, width = config.heads, config.kv_heads, config.head_dim
    sizes = [((heads + 2 * groups) * width, config.hidden), (config.hidden, heads * width)]
    sizes += [(config.mlp, config.hidden), (config.mlp, config.hidden), (config.hidden, config.mlp)]
    found: dict[str, Any] = {"tokens": rows}
    make: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    for kind in ("bf16", "fp8") if gpu else ():
        total = 0.0
        for out, inner in sizes:
            x, weight = torch.randn(2 * rows, inner, **make), torch.randn(out, inner, **make)
            call = (
                scaled(out, x) if kind == "fp8" else functools.partial(functional.linear, x, weight)
            )
            total += statistics.median(milliseconds(call, 5))
        found[f"products_{kind}_ms"] = config.layers * total
    query = torch.randn(1, heads, rows, width, **make)
    key, value = torch.randn(2, 1, groups, rows + 182, width, **make)
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION) if gpu else ():
        with sdpa_kernel(backend):
            see = functional.scaled_dot_product_attention
            call = functools.partial(see, query, key, value, enable_gqa=True)
            name = backend.name.split("_")[0].lower()
            try:
                found[f"attention_{name}_ms"] = (
                    2 * config.layers * statistics.median(milliseconds(call, 5))
                )
            except RuntimeError as error:
                found[f"attention_{name}"] = str(error)[:80]
    return found


def scaled(out: int, x: Tensor) -> Callable[[], Tensor]:
    """An FP8 product with everything already rounded."""
    weight, scale = (
        torch.randn(out, x.shape[1], device=x.device).to(E4M3),
        torch.ones(1, out, device=x.device),
    )
    rounded, scales = x.to(E4M3), torch.ones(len(x), 1, device=x.device)
    options: dict[str, Any] = {"out_dtype": torch.bfloat16, "use_fast_accum": True}
    return lambda: torch._scaled_mm(rounded, weight.T, scales, scale, **options)
