# SPDX-License-Identifier: Apache-2.0
"""What a step of the action rows alone consists of: whole steps, products and attention, in graphs.

Each is recorded as a CUDA graph of many calls, so that launching them costs nothing; on a CPU they
are called one after the other.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

import torch
from full_size import milliseconds, relative, wait
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from cosmos3_ros.model.diffusion.velocities import Step, Velocities
from cosmos3_ros.model.network.config import ModelConfig
from cosmos3_ros.model.network.kv_cache import Prompts
from cosmos3_ros.model.network.layers import FEW_QUERIES
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.runtime import quantize
from cosmos3_ros.model.runtime.cuda_graph import CudaGraph

FULL = Step(999.0, full=True, keep=False, guided=True, both=True)
KEPT = dataclasses.replace(FULL, keep=True)
ROWS = dataclasses.replace(FULL, full=False)


def graph_ms(call: Callable[[], Any], like: Tensor, repeats: int = 1, runs: int = 7) -> float:
    """Milliseconds of one call, of `repeats` in a graph; like: any tensor on the device."""

    def several(_: Tensor) -> tuple[Tensor, ...]:
        for _number in range(repeats):
            call()
        return (like,)

    run = CudaGraph(several, [like]) if like.is_cuda else several
    return statistics.median(milliseconds(lambda: run(like), runs)) / repeats


def steps(policy: Cosmos3Policy, caption: str) -> dict[str, float]:
    """A full step, one that keeps its keys, and one of the rows alone, guided and not."""
    inputs, found = policy._blank, {}
    assert inputs.actions is not None  # of a policy
    pair = Prompts((policy.denoiser.read(caption),)), Prompts((policy.denoiser.read(""),))
    batched = policy.guidance.batched
    for guided in (True, False):
        branches = "guided" if guided else "one branch"
        for name, step in (("full", FULL), ("kept", KEPT), ("rows", ROWS)):
            ask = Velocities(policy.model.transformer, inputs, pair, policy.denoiser._rope, batched)
            with torch.no_grad():
                ask(inputs.latents, inputs.actions, dataclasses.replace(KEPT, guided=guided))
                now = dataclasses.replace(step, guided=guided, both=guided)
                call = functools.partial(ask, inputs.latents, inputs.actions, now)
                found[f"{name} step, {branches}_ms"] = graph_ms(call, inputs.latents)
    return found


def kernels(policy: Cosmos3Policy, caption: str) -> dict[str, dict[str, float]]:
    """Milliseconds of each kernel of a guided step that keeps its keys, and of one of the rows."""
    inputs, found = policy._blank, {}
    assert inputs.actions is not None  # of a policy
    pair = Prompts((policy.denoiser.read(caption),)), Prompts((policy.denoiser.read(""),))
    ask = Velocities(
        policy.model.transformer, inputs, pair, policy.denoiser._rope, policy.guidance.batched
    )
    activity = ProfilerActivity.CUDA if inputs.latents.is_cuda else ProfilerActivity.CPU
    for name, step in (("full step", KEPT), ("rows step", ROWS)):
        with torch.no_grad():
            for _ in range(3):
                ask(inputs.latents, inputs.actions, step)
            wait()
            with profile(activities=[activity]) as seen:
                ask(inputs.latents, inputs.actions, step)
                wait()
        what = f"self_{'device' if inputs.latents.is_cuda else 'cpu'}_time_total"
        times = {
            f"{each.key[:90]} x {each.count}": getattr(each, what) / 1e3
            for each in seen.key_averages()
        }
        longest = sorted(times.items(), key=lambda pair: -pair[1])[:24]
        found[name] = {"all": sum(times.values()), **dict(longest)}
    return found


def attention(config: ModelConfig, queries: int, keys: int, device: str) -> dict[str, Any]:
    """The product of the attention for few queries and many keys, by library kernel."""
    make: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    query = torch.randn(1, config.heads, queries, config.head_dim, **make)
    key, value = torch.randn(2, 1, config.kv_heads, keys, config.head_dim, **make)
    found: dict[str, Any] = {}
    for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
        name = backend.name.split("_")[0].lower()
        call = functools.partial(
            functional.scaled_dot_product_attention, query, key, value, enable_gqa=True
        )
        try:
            with sdpa_kernel(backend):
                found[f"{queries} queries, {name}_ms"] = config.layers * graph_ms(
                    call, query, config.layers
                )
        except RuntimeError as error:
            found[f"{queries} queries, {name}"] = str(error)[:80]
    if query.is_cuda and queries > FEW_QUERIES:
        from cosmos3_ros.model.runtime.attention_kernels import (
            attend_to_rounded,
            fp8_attention,
            rounded,
        )

        parts = [x.transpose(1, 2) for x in (query, key, value)]
        wanted = functional.scaled_dot_product_attention(
            *(x.float() for x in (query, key, value)), enable_gqa=True
        )
        asked, *pair = parts
        got = fp8_attention(asked, [(pair[0], pair[1])])
        got = got.unflatten(2, (config.heads, -1)).transpose(1, 2)
        found[f"{queries} queries, fp8 error"] = relative(got, wanted)
        found[f"{queries} queries, fp8_ms"] = config.layers * graph_ms(
            lambda: fp8_attention(asked, [(pair[0], pair[1])]), query, config.layers
        )
        small = rounded(asked[0], [(pair[0][0], pair[1][0])])
        found[f"{queries} queries, fp8, already rounded_ms"] = config.layers * graph_ms(
            lambda: attend_to_rounded(*small, keys, query.dtype), query, config.layers
        )
    return found


def products(config: ModelConfig, rows: int, device: str) -> dict[str, float]:
    """The matrix products of all layers for so many rows: bf16, FP8 with many scales, with one."""
    heads, groups, width = config.heads, config.kv_heads, config.head_dim
    sizes = [((heads + 2 * groups) * width, config.hidden), (config.hidden, heads * width)]
    sizes += [(2 * config.mlp, config.hidden), (config.hidden, config.mlp)]
    found: dict[str, float] = {}
    usual = quantize.FEW_ROWS
    ways = {
        "bf16": ("none", usual),
        "fp8, row scales": ("fp8", 0),
        "fp8, one scale": ("fp8", usual),
    }
    for name, (kind, few) in ways.items():
        total = 0.0
        for out, inner in sizes:
            # several, so that the cache does not hold them
            layers = [
                quantize.FORMATS[kind].from_weight(
                    torch.randn(out, inner, device=device, dtype=torch.bfloat16) / inner**0.5
                )
                for _ in range(4)
            ]
            x = torch.randn(rows, inner, device=device, dtype=torch.bfloat16)
            quantize.FEW_ROWS = few
            compiled = [torch.compile(layer.matmul, dynamic=False) for layer in layers]
            calls = compiled if x.is_cuda else [layer.matmul for layer in layers]

            def call(calls: Any = calls, x: Tensor = x) -> None:
                for one in calls:
                    one(x)

            with torch.no_grad():
                total += graph_ms(call, x) / len(calls)
        quantize.FEW_ROWS = usual
        torch._dynamo.reset()
        found[f"{rows} rows, {name}_ms"] = config.layers * total
    return found
