# SPDX-License-Identifier: Apache-2.0
"""Attention of few queries to many keys as Triton kernels, for the action rows alone on a GPU.

As Flash-Decoding (pytorch.org/blog/flash-decoding): the keys are dealt out to programs, whose sums
are joined afterwards. All heads of a query that share a key head are rows of one product, so that
keys and values are read once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..network import layers
from ..network.kv_cache import Pair

# Rows and keys of a block, keys of a program, warps, stages.
BLOCKS = (64, 64, 576, 4, 3)


@triton.jit
def _attend_part(  # type: ignore[no-untyped-def]
    query, kept_key, kept_value, key, value, sums, tops, totals,
    rows, first, keys, length, factor,
    group: tl.constexpr, kv_heads: tl.constexpr, width: tl.constexpr,
    many: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """`many` rows (query, head of the group) of one key head, and `length` of the keys.

    query [Q, kv_heads * group, width]; kept_key, kept_value [>= first, kv_heads, width]; key, value
    [keys - first, kv_heads, width], which follow the first ones; sums float32 [parts, kv_heads,
    rows, width]; tops and totals [parts, kv_heads, rows]: highest score, in base 2, and sum of the
    weights.
    """
    source, part = tl.program_id(1), tl.program_id(2)
    row = tl.program_id(0) * many + tl.arange(0, many)
    column = tl.arange(0, width)
    live = row < rows
    head = (row // group) * kv_heads * group + source * group + row % group
    asked = tl.load(query + head[:, None] * width + column[None, :], live[:, None], 0.0)
    top = tl.full((many,), -float("inf"), tl.float32)
    total, found = tl.zeros((many,), tl.float32), tl.zeros((many, width), tl.float32)
    last = tl.minimum(keys, (part + 1) * length)
    for start in range(part * length, last, block):
        place = start + tl.arange(0, block)
        old, new = (place < first)[:, None], ((place >= first) & (place < last))[:, None]
        there = (place[:, None] * kv_heads + source) * width + column[None, :]
        here = there - first * kv_heads * width
        # of the two one is 0
        seen = tl.load(kept_key + there, old, 0.0) + tl.load(key + here, new, 0.0)
        score = tl.dot(asked, tl.trans(seen)) * factor
        score = tl.where((place < last)[None, :], score, -float("inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        weight = tl.exp2(score - higher[:, None])
        less = tl.exp2(top - higher)
        total = total * less + tl.sum(weight, 1)
        seen = tl.load(kept_value + there, old, 0.0) + tl.load(value + here, new, 0.0)
        found = tl.dot(weight.to(seen.dtype), seen, found * less[:, None])
        top = higher
    out = (part * kv_heads + source) * rows + row
    tl.store(sums + out[:, None] * width + column[None, :], found, live[:, None])
    tl.store(tops + out, top, live)
    tl.store(totals + out, total, live)


@triton.jit
def _join_parts(  # type: ignore[no-untyped-def]
    sums, tops, totals, out, rows,
    parts: tl.constexpr, group: tl.constexpr, kv_heads: tl.constexpr, width: tl.constexpr,
):  # fmt: skip
    """One row of one key head, of one sample: out [samples, Q, kv_heads * group, width]."""
    row, source, sample = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    column = tl.arange(0, width)
    top = -float("inf")
    for part in range(parts):
        place = ((sample * parts + part) * kv_heads + source) * rows + row
        top = tl.maximum(top, tl.load(tops + place))
    total, found = 0.0, tl.zeros((width,), tl.float32)
    for part in range(parts):
        place = ((sample * parts + part) * kv_heads + source) * rows + row
        share = tl.exp2(tl.load(tops + place) - top)
        total += share * tl.load(totals + place)
        found += share * tl.load(sums + place.to(tl.int64) * width + column)
    queries = rows // group
    head = (sample * queries + row // group) * kv_heads * group + source * group + row % group
    tl.store(out + head * width + column, (found / total).to(out.dtype.element_ty))


def attend_beside(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kept: Sequence[Pair],
    blocks: tuple[int, int, int, int, int] = BLOCKS,
) -> Tensor:
    """`layers.attend_beside` on a GPU for 16-bit numbers; the kept keys and values stay."""
    width = query.shape[3]
    usual = query.dtype == torch.float32 or width & (width - 1) or width < 16
    if usual or torch.is_grad_enabled():
        return layers.attend_beside(query, key, value, kept)
    samples, queries, heads, _ = query.shape
    kv_heads = key.shape[2]
    group = heads // kv_heads
    rows, (many, block, length, warps, stages) = queries * group, blocks
    most = max(keys.shape[1] for keys, _ in kept)
    parts = triton.cdiv(most, length)
    make = {"device": query.device, "dtype": torch.float32}
    sums = torch.empty(samples, parts, kv_heads, rows, width, **make)
    tops, totals = torch.empty(2, samples, parts, kv_heads, rows, **make)
    factor = math.log2(math.e) / math.sqrt(width)
    each = zip(query, key, value, kept, sums, tops, totals, strict=True)
    for asked, k, v, (keys, values), *found in each:
        tensors = [part.contiguous() for part in (asked, keys[0], values[0], k, v)]
        count = keys.shape[1]
        _attend_part[(triton.cdiv(rows, many), kv_heads, parts)](
            *tensors, *found, rows, count - queries, count, length, factor,
            group, kv_heads, width, many, block, num_warps=warps, num_stages=stages,
        )  # fmt: skip
    out = torch.empty(samples, queries, heads * width, device=query.device, dtype=query.dtype)
    _join_parts[(rows, kv_heads, samples)](
        sums, tops, totals, out, rows, parts, group, kv_heads, width, num_warps=1
    )
    return out
