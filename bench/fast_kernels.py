# SPDX-License-Identifier: Apache-2.0
"""Each kernel of ours against what it replaces, with its numbers checked, then chunks by preset.

python bench/fast_kernels.py [--preset nano] [--device cuda] [--runs 20] [--seconds 140]
    [--out fast_kernels.json]

A shorter way than policy_latency.py to see what a change of a kernel does to a chunk: no diffusers.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import FullSize, free, make, milliseconds, relative, run_stages
from policy_latency import INSTRUCTION, SCALE, Bench
from row_steps import attention, graph_ms, kernels, steps
from torch import Tensor
from torch.nn import functional

from cosmos3_ros.model.acceleration.canvas_cuda import GpuComposer
from cosmos3_ros.model.acceleration.optimize import fuse_rounding, optimize, round_attention
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.network.layers import RMSNorm, attend_to

VIDEO_TOKENS, TEXT_TOKENS = 3093, 182  # of the DROID setting, see docs/performance.md


class Kernels:
    """The stages, in the order of what they are worth."""

    def __init__(self, full: FullSize, runs: int):
        self.bench = Bench(full, runs)
        self.full, self.gpu = full, full.device.startswith("cuda")

    # -- kernels alone -----------------------------------------------------------------------------

    def gate(self) -> dict[str, Any]:
        """The gate and its rounding for both branches of guidance, all layers."""
        from cosmos3_ros.model.runtime.rounding_kernels import Product, gate_rounded

        config = self.full.config
        shape = (2 * VIDEO_TOKENS, 2 * config.mlp)
        both = torch.randn(*shape, device="cuda", dtype=torch.bfloat16)
        plain = torch.compile(_gate_in_torch, dynamic=False)
        wanted = functional.silu(both[:, : config.mlp].float()) * both[:, config.mlp :].float()
        found: dict[str, Any] = {}

        def kernel(both: Tensor) -> tuple[Tensor, Tensor]:
            return gate_rounded(Product(both))

        for name, way in (("compiled", plain), ("kernel", kernel)):
            small, scale = way(both)
            found[f"{name}, error"] = relative(small.float() * scale, wanted)
            call = functools.partial(way, both)
            found[f"{name}_ms"] = config.layers * graph_ms(call, both, 8)
        return found

    def norm(self) -> dict[str, Any]:
        """A sum, its norm and the rounding, for both branches of guidance, all layers once."""
        from cosmos3_ros.model.runtime.rounding_kernels import Product, norm_rounded

        config = self.full.config
        shape = (2 * VIDEO_TOKENS, config.hidden)
        x, more = torch.randn(2, *shape, device="cuda", dtype=torch.bfloat16)
        norm = RMSNorm(config.hidden, config.norm_eps, False).to("cuda", torch.bfloat16)
        norm.requires_grad_(False)

        def plain(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            total = x + more
            return *_rounded_in_torch(norm(total)), total

        def kernel(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return norm_rounded(x, norm.weight, norm.eps, False, Product(more))

        wanted = norm(x.float() + more.float())
        found: dict[str, Any] = {}
        for name, way in (("compiled", torch.compile(plain, dynamic=False)), ("kernel", kernel)):
            small, scale, _ = way(x)
            found[f"{name}, error"] = relative(small.float() * scale, wanted)
            found[f"{name}_ms"] = config.layers * graph_ms(functools.partial(way, x), x, 8)
        return found

    def attention(self) -> dict[str, Any]:
        """In FP8 and by the libraries for one branch of guidance, then by size of the blocks."""
        from cosmos3_ros.model.runtime import attention_kernels

        config = self.full.config
        keys = VIDEO_TOKENS + TEXT_TOKENS
        found = attention(config, VIDEO_TOKENS, keys, self.full.device)
        make: dict[str, Any] = {"device": "cuda", "dtype": torch.bfloat16}
        query = torch.randn(VIDEO_TOKENS, config.heads, config.head_dim, **make)
        key, value = torch.randn(2, keys, config.kv_heads, config.head_dim, **make)
        small = attention_kernels.rounded(query, [(key, value)])
        for blocks in attention_kernels.BLOCKS:
            call = functools.partial(
                attention_kernels.attend_in_blocks, *small, keys, query.dtype, blocks
            )
            name = ", ".join(str(number) for number in blocks)
            found[f"blocks {name}_ms"] = config.layers * graph_ms(call, query, config.layers)
        return found

    def picture(self) -> dict[str, Any]:
        """Composed, recorded and not: wall time, and whether the pixels are equal."""
        composer = GpuComposer(self.full.body.canvas, torch.device(self.full.device))
        images = self.full.observation().images
        plain = composer(images)
        found: dict[str, Any] = {}
        for name, recorded in (("launched", False), ("recorded", self.gpu)):
            call = functools.partial(composer, images, recorded)
            found[f"{name}_ms"] = statistics.median(milliseconds(call, 20))
            found[f"{name}, equal"] = torch.equal(call(), plain)
        return found

    # -- chunks ------------------------------------------------------------------------------------

    def ready(self, generator: str) -> dict[str, Any]:
        """Make the model that the next stages use."""
        self.bench.fast = None
        free()
        self.bench.fast = model = self.full.model()
        optimize(model, RuntimeOptions(self.gpu, self.gpu, generator=generator), self.full.device)
        return {}

    def chunks(self, presets: Sequence[str], guidances: Sequence[float]) -> dict[str, float]:
        """Median and 99th percentile of chunks, ms."""
        found = {}
        for guidance in guidances:
            for preset in presets:
                way = f"{preset}, {'guided' if guidance != 1 else 'unguided'}"
                asked: dict[str, Any] = {"preset": preset, "guidance": guidance}
                timed = self.bench._chunks(self.bench._fast(), self.bench.runs, **asked)
                found |= {f"{way}, {name}": value for name, value in timed.items()}
        return found

    def fp8(self) -> dict[str, Any]:
        """All presets but `two_steps`, and the single steps."""
        found = self.ready("fp8")
        found |= self.chunks(("fast", "faster", "fastest"), (SCALE, 1.0))
        found |= self.chunks(("exact",), (SCALE,))
        policy = self.bench._policy(self.bench._fast(), guidance=SCALE)
        return found | steps(policy, policy.caption(INSTRUCTION))

    def fp8_attention(self) -> dict[str, Any]:
        """Attention in FP8 too."""
        if not self.gpu:
            return {"skipped": "no GPU"}
        layers = self.bench._fast().transformer.generator.layers
        round_attention(layers, self.bench._fast().device)
        try:
            return self.chunks(("exact", "fast", "faster"), (SCALE,))
        finally:
            for layer in layers:
                layer.attend = attend_to

    def fp8_before(self) -> dict[str, Any]:
        """Without the kernels that round, and how far its chunks are from those with them."""
        model = self.bench._fast()
        exact = self.bench._prediction(model)
        fuse_rounding(model.transformer.generator.layers, False)
        found = self.bench._errors("kernels", exact, self.bench._prediction(model))
        return found | self.chunks(("exact",), (SCALE,))

    def profile(self) -> dict[str, Any]:
        """ms of the longest kernels."""
        policy = self.bench._policy(self.bench._fast(), guidance=SCALE)
        found = kernels(policy, policy.caption(INSTRUCTION))
        return {f"{step}, {name}": ms for step, each in found.items() for name, ms in each.items()}

    def bf16(self) -> dict[str, Any]:
        """All presets but `two_steps`, as far as the time goes."""
        found = self.ready("none")
        found |= self.chunks(("faster", "fastest"), (SCALE, 1.0))
        return found | self.chunks(("fast", "exact"), (SCALE,))


def _gate_in_torch(both: Tensor) -> tuple[Tensor, Tensor]:
    gate, up = both.chunk(2, -1)
    return _rounded_in_torch(functional.silu(gate) * up)


def _rounded_in_torch(found: Tensor) -> tuple[Tensor, Tensor]:
    scale = found.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / 448
    return (found.float() / scale).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "edge", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument(
        "--seconds", type=float, default=140.0, help="begin no stage that would end later"
    )
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    gpu = chosen.device.startswith("cuda")
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if gpu else chosen.device,
        "preset": chosen.preset,
        "versions": {"torch": version("torch"), "numpy": np.__version__},
    }
    with torch.inference_mode():
        dtype = torch.bfloat16 if gpu else torch.float32
        each = Kernels(make(chosen.preset, chosen.device, dtype), chosen.runs)
        alone = {"gate": (3.0, each.gate), "norm": (3.0, each.norm)}
        alone["attention"] = (15.0, each.attention)
        stages = {
            **(alone if gpu else {}),  # they are Triton's
            "picture": (1.0, each.picture),
            "fp8": (50.0, each.fp8),
            "profile, fp8": (2.0, each.profile),
            "fp8 attention": (20.0, each.fp8_attention),
            "fp8, before": (15.0, each.fp8_before),
            "bf16": (30.0, each.bf16),
        }

        def save(results: Mapping[str, Any]) -> None:
            if chosen.out:
                chosen.out.write_text(json.dumps(facts | results, indent=2) + "\n")

        run_stages(stages, chosen.seconds, save)


if __name__ == "__main__":
    main()
