# SPDX-License-Identifier: Apache-2.0
"""Attention in FP8 as a Triton kernel, for the full steps of the generator on a GPU.

Queries and keys are rounded to E4M3 as they are (they come from a norm), values with a scale per
head, and so are the weights of the softmax; sums are float32. As FlashAttention (arXiv 2205.14135),
with the softmax in base 2 and its weights scaled by 2^8 as in FlashAttention-3 (arXiv 2407.08608).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional

from ..network.kv_cache import Pair

E4M3, LARGEST = torch.float8_e4m3fn, 448.0
PAD = 128  # keys are padded to a multiple of this, the largest block of keys


@triton.jit
def _attend_block(  # type: ignore[no-untyped-def]
    asked,
    key,
    value,
    first,
    keys,
    factor,
    top,
    total,
    sums,
    width: tl.constexpr,
    block: tl.constexpr,
    ends: tl.constexpr,
):
    """Highest scores, sums of the weights and weighted sums, with `block` more keys from `first`.

    ends: some of them are padding.
    """
    score = tl.dot(asked, tl.load(key + first * width))
    if ends:
        place = tl.arange(0, block)
        score = tl.where(place[None, :] < keys - first, score, -float("inf"))
    higher = tl.maximum(top, tl.max(score, 1) * factor)
    # one multiplication with addition for each score, all else by row
    weight = tl.exp2(score * factor - (higher - 8)[:, None])
    old = tl.exp2(top - higher)
    total = total * old + tl.sum(weight, 1)
    sums = tl.dot(weight.to(value.dtype.element_ty), tl.load(value + first), sums * old[:, None])
    return higher, total, sums


# Queries and keys of a block, warps, stages: the fastest of eight on an H200 (8.1 and 8.9 ms for 36
# calls with 3093 queries, others 9.1 to 12.3); the faster one is used.
BLOCKS = ((64, 128, 4, 3), (64, 64, 4, 3))


@triton.autotune(
    [
        triton.Config({"many": many, "block": block}, num_warps=warps, num_stages=stages)
        for many, block, warps, stages in BLOCKS
    ],
    key=["queries", "keys"],
)
@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    query,
    key,
    value,
    scale,
    out,
    queries,
    keys,
    padded,
    factor,
    heads: tl.constexpr,
    group: tl.constexpr,
    width: tl.constexpr,
    many: tl.constexpr,
    block: tl.constexpr,
):
    """A block of `many` queries of one head, all keys after one another.

    query [heads, queries, width]; key [kv_heads, padded, width]; value [kv_heads, width, padded];
    scale float32 [kv_heads] of the values; out [queries, heads, width].
    """
    head = tl.program_id(1)
    source = head // group
    row = tl.program_id(0) * many + tl.arange(0, many)
    column, place = tl.arange(0, width), tl.arange(0, block)
    live = row[:, None] < queries
    asked = tl.load(
        query + (head.to(tl.int64) * queries + row[:, None]) * width + column[None, :], live, 0.0
    )
    key += source.to(tl.int64) * padded * width + place[None, :] * width + column[:, None]
    value += source.to(tl.int64) * padded * width + column[None, :] * padded + place[:, None]
    top = tl.full((many,), -float("inf"), tl.float32)
    total, sums = tl.zeros((many,), tl.float32), tl.zeros((many, width), tl.float32)
    whole = keys // block * block
    for first in range(0, whole, block):
        top, total, sums = _attend_block(
            asked, key, value, first, keys, factor, top, total, sums, width, block, False
        )
    if whole < keys:
        top, total, sums = _attend_block(
            asked, key, value, whole, keys, factor, top, total, sums, width, block, True
        )
    result = sums / total[:, None] * tl.load(scale + source)
    place = out + (row[:, None].to(tl.int64) * heads + head) * width + column[None, :]
    tl.store(place, result.to(out.dtype.element_ty), live)


def rounded(query: Tensor, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the kernel reads, from [N, heads, width] each; see `_attend` for the layouts."""
    key, value = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    more = -len(key) % PAD
    scale = value.abs().amax((0, 2)).float().clamp(min=1e-12) / LARGEST
    small = value.float() / scale[:, None]
    key, small = (functional.pad(part, (0, 0, 0, 0, 0, more)) for part in (key, small))
    return (
        _to_fp8(query.transpose(0, 1)).contiguous(),
        _to_fp8(key.transpose(0, 1)).contiguous(),
        _to_fp8(small.permute(1, 2, 0)).contiguous(),
        scale,
    )


def _to_fp8(x: Tensor) -> Tensor:
    return x.float().clamp(-LARGEST, LARGEST).to(E4M3)


_compiled = torch.compile(rounded, dynamic=False)


def fp8_attention(query: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """`layers.attend_to` for one sample without a mask: bfloat16 [1, Q, heads * width] from [1, Q,
    heads, width] and pairs of [1, K, kv_heads, width], on a GPU that multiplies in FP8.
    """
    small = _compiled(query[0], [(key[0], value[0]) for key, value in pairs])
    return attend_to_rounded(*small, sum(key.shape[1] for key, _ in pairs), query.dtype)


def attend_to_rounded(
    query: Tensor, key: Tensor, value: Tensor, scale: Tensor, keys: int, dtype: torch.dtype
) -> Tensor:
    """The product of the attention for what `rounded` returns; keys: how many are no padding."""
    return attend_in_blocks(query, key, value, scale, keys, dtype)


def attend_in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: Tensor,
    keys: int,
    dtype: torch.dtype,
    blocks: tuple[int, int, int, int] | None = None,
) -> Tensor:
    """`attend_to_rounded` by one of BLOCKS, or by the fastest."""
    heads, queries, width = query.shape
    out = torch.empty(1, queries, heads * width, device=query.device, dtype=dtype)
    factor = math.log2(math.e) / math.sqrt(width)
    sizes = (queries, keys, key.shape[1], factor, heads, heads // len(key), width)
    if blocks is None:
        _attend[lambda chosen: (triton.cdiv(queries, chosen["many"]), heads)](
            query, key, value, scale, out, *sizes
        )
        return out
    many, block, warps, stages = blocks
    _attend.fn[(triton.cdiv(queries, many), heads)](
        query, key, value, scale, out, *sizes, many, block, num_warps=warps, num_stages=stages
    )
    return out
