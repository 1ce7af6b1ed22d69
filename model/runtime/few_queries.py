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

# Rows and keys of a block, warps, stages, and keys of a program by how many there are at most: the
# fastest of 24 on an H200 (36 calls with 33 queries and 3275 keys: 0.58 ms, others 0.59 to 0.94).
BLOCKS, PARTS = (64, 32, 4, 3), ((1024, 128), (1 << 31, 256))


@triton.jit
def _attend_block(  # type: ignore[no-untyped-def]
    asked, key, value, live, factor, top, total, sums
):
    """Highest scores, sums of the weights and weighted sums, with the `live` of a block of keys."""
    score = tl.dot(asked, tl.trans(tl.load(key, live[:, None], 0.0))) * factor
    score = tl.where(live[None, :], score, -float("inf"))
    higher = tl.maximum(top, tl.max(score, 1))
    weight = tl.exp2(score - higher[:, None])
    old = tl.exp2(top - higher)
    total = total * old + tl.sum(weight, 1)
    seen = tl.load(value, live[:, None], 0.0)
    return higher, total, tl.dot(weight.to(seen.dtype), seen, sums * old[:, None])


@triton.jit
def _attend_part(  # type: ignore[no-untyped-def]
    query, kept_key, kept_value, key, value, sums, tops, totals,
    rows, kept, new, length, factor,
    group: tl.constexpr, kv_heads: tl.constexpr, width: tl.constexpr,
    many: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """`many` rows (query, head of the group) of one key head, and `length` of the kept keys.

    The first program of these takes the new keys too. query [Q, kv_heads * group, width]; kept_key,
    kept_value [>= kept, kv_heads, width]; key, value [new, kv_heads, width]; sums float32 [parts,
    kv_heads, rows, width]; tops and totals [parts, kv_heads, rows]: highest score, in base 2, and
    sum of the weights.
    """
    source, part = tl.program_id(1), tl.program_id(2)
    row = tl.program_id(0) * many + tl.arange(0, many)
    column, place = tl.arange(0, width), tl.arange(0, block)
    within = row < rows
    head = (row // group) * kv_heads * group + source * group + row % group
    asked = tl.load(query + head[:, None] * width + column[None, :], within[:, None], 0.0)
    stride = kv_heads * width
    offset = place[:, None] * stride + source * width + column[None, :]
    top = tl.full((many,), -float("inf"), tl.float32)
    total, found = tl.zeros((many,), tl.float32), tl.zeros((many, width), tl.float32)
    last = tl.minimum(kept, (part + 1) * length)
    for start in range(part * length, last, block):
        there = start * stride + offset
        top, total, found = _attend_block(
            asked, kept_key + there, kept_value + there, place < last - start, factor, top, total,
            found,
        )  # fmt: skip
    if part == 0:
        for start in range(0, new, block):
            there = start * stride + offset
            top, total, found = _attend_block(
                asked, key + there, value + there, place < new - start, factor, top, total, found
            )
    out = (part * kv_heads + source) * rows + row
    tl.store(sums + out[:, None] * width + column[None, :], found, within[:, None])
    tl.store(tops + out, top, within)
    tl.store(totals + out, total, within)


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
    blocks: tuple[int, int, int, int] = BLOCKS,
    length: int | None = None,
) -> Tensor:
    """`layers.attend_beside` on a GPU for 16-bit numbers; the kept keys and values stay.

    length: keys of a program, by default as PARTS has them.
    """
    width = query.shape[3]
    usual = query.dtype == torch.float32 or width & (width - 1) or width < 16
    if usual or torch.is_grad_enabled():
        return layers.attend_beside(query, key, value, kept)
    samples, queries, heads, _ = query.shape
    kv_heads = key.shape[2]
    group = heads // kv_heads
    rows, (many, block, warps, stages) = queries * group, blocks
    most = max(keys.shape[1] for keys, _ in kept)
    length = length or next(each for limit, each in PARTS if most <= limit)
    parts = triton.cdiv(most, length)
    shape = (samples, parts, kv_heads, rows)
    sums = query.new_empty(*shape, width, dtype=torch.float32)
    tops, totals = query.new_empty(2, *shape, dtype=torch.float32)
    factor = math.log2(math.e) / math.sqrt(width)
    each = zip(query, key, value, kept, sums, tops, totals, strict=True)
    for asked, k, v, (keys, values), *found in each:
        tensors = [part.contiguous() for part in (asked, keys[0], values[0], k, v)]
        _attend_part[(triton.cdiv(rows, many), kv_heads, parts)](
            *tensors, *found, rows, keys.shape[1] - queries, queries, length, factor,
            group, kv_heads, width, many, block, num_warps=warps, num_stages=stages,
        )  # fmt: skip
    out = torch.empty(samples, queries, heads * width, device=query.device, dtype=query.dtype)
    _join_parts[(rows, kv_heads, samples)](
        sums, tops, totals, out, rows, parts, group, kv_heads, width, num_warps=1
    )
    return out
