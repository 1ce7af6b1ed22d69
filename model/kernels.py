# SPDX-License-Identifier: Apache-2.0
"""Kernels for one token at a time on a GPU, where reading the weights is all that takes time (Triton)."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, SLICE = 4, 1024  # weights that a program reads at once: rows, and numbers of each
CHUNK = 64  # places of the cache that a program attends to


@triton.jit
def _matvec(x, weight, scale, out, rows, width, scaled: tl.constexpr, many: tl.constexpr, part: tl.constexpr):  # type: ignore[no-untyped-def]
    """out[r] = scale[r] * sum_k weight[r, k] * x[k]."""
    row = tl.program_id(0) * many + tl.arange(0, many)
    here = row < rows
    start = row[:, None].to(tl.int64) * width
    total = tl.zeros((many, part), tl.float32)
    for first in range(0, width, part):
        column = first + tl.arange(0, part)
        inside = here[:, None] & (column < width)[None, :]
        number = tl.load(x + column, mask=column < width, other=0.0).to(tl.float32)
        total += tl.load(weight + start + column[None, :], inside, other=0.0).to(tl.float32) * number[None, :]
    result = tl.sum(total, axis=1)
    if scaled:
        result *= tl.load(scale + row, here, other=0.0)
    tl.store(out + row, result.to(out.dtype.element_ty), here)


@triton.jit
def _halves(bits):  # type: ignore[no-untyped-def]
    """The low 16 bits of integers, read as float16."""
    return bits.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _matvec4(x, weight, scale, blocks, out, rows, width, many: tl.constexpr, part: tl.constexpr):  # type: ignore[no-untyped-def]
    """As `_matvec` for E2M1, two numbers in a byte, the first in its low half, with a scale for every 8 bytes.

    Sign, exponent and mantissa of E2M1 in the places of float16 are the number times 2**-14; both numbers of a byte are
    put there at once.
    """
    row = tl.program_id(0) * many + tl.arange(0, many)
    here, start = row < rows, row.to(tl.int64) * (width // 16)
    byte = tl.arange(0, 8)
    total = tl.zeros((many, part), tl.float32)
    for first in range(0, width // 16, part):
        block = first + tl.arange(0, part)
        live = block < width // 16
        inside, at = here[:, None] & live[None, :], start[:, None] + block[None, :]
        pairs = tl.load(weight + at[:, :, None] * 8 + byte[None, None, :], inside[:, :, None], other=0).to(tl.int32)
        pairs *= 0x1001  # the first number in the low half, the second in the high one
        halves = ((pairs << 9) & 0x0E000E00) | ((pairs << 12) & -0x7FFF8000)
        number = x + block[:, None] * 16 + byte[None, :] * 2
        even = tl.load(number, live[:, None], other=0.0).to(tl.float32)
        odd = tl.load(number + 1, live[:, None], other=0.0).to(tl.float32)
        found = tl.sum(_halves(halves) * even[None, :, :] + _halves(halves >> 16) * odd[None, :, :], axis=2)
        total += found * tl.load(blocks + at, inside, other=0.0).to(tl.float32)
    result = tl.sum(total, axis=1) * tl.load(scale + row, here, other=0.0) * 16384.0
    tl.store(out + row, result.to(out.dtype.element_ty), here)


def matvec(x: Tensor, weight: Tensor, scale: Tensor | None = None, blocks: Tensor | None = None) -> Tensor:
    """x [1, ..., in] of one token, weight [out, in] -> [1, ..., out], summed in float32.

    scale float32 [out, 1]: of the rows; blocks E4M3 [out, in / 16]: of weights in NVFP4, which are uint8 [out, in / 2].
    """
    rows, width = weight.shape[0], x.shape[-1]
    out = torch.empty(*x.shape[:-1], rows, dtype=x.dtype, device=x.device)
    grid = (triton.cdiv(rows, ROWS),)
    if blocks is not None:
        shape = {"many": ROWS, "part": SLICE // 16}
        _matvec4[grid](x.contiguous(), weight, scale, blocks, out, rows, width, **shape)
    else:
        factor, shape = weight if scale is None else scale, {"many": ROWS, "part": SLICE}
        _matvec[grid](x.contiguous(), weight, factor, out, rows, width, scaled=scale is not None, **shape)
    return out


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    query, new_key, new_value, keys, values, place, sums, tops, norms, factor, heads: tl.constexpr,
    group: tl.constexpr, width: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    """One chunk of the cache for the queries that share a head of keys and values; the last one takes the new ones."""
    head, chunk, chunks = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    length = tl.load(place) + 1
    if chunk * size >= length:
        return
    lane = tl.arange(0, width)
    row = chunk * size + tl.arange(0, size)
    seen, old, new = row < length, (row < length - 1)[:, None], (row == length - 1)[:, None]
    where = (row[:, None] * heads + head) * width + lane[None, :]
    key = tl.where(new, tl.load(new_key + head * width + lane)[None, :], tl.load(keys + where, old, other=0.0))
    value = tl.where(new, tl.load(new_value + head * width + lane)[None, :], tl.load(values + where, old, other=0.0))
    tl.store(keys + where, key, new)
    tl.store(values + where, value, new)
    key, value = key.to(tl.float32), value.to(tl.float32)
    for number in tl.static_range(group):
        one = tl.load(query + (head * group + number) * width + lane).to(tl.float32)
        score = tl.where(seen, tl.sum(key * one[None, :], axis=1) * factor, float("-inf"))
        top = tl.max(score, axis=0)
        weight = tl.exp(score - top)
        at = (head * group + number) * chunks + chunk
        tl.store(sums + at * width + lane, tl.sum(value * weight[:, None], axis=0))
        tl.store(tops + at, top)
        tl.store(norms + at, tl.sum(weight, axis=0))


@triton.jit
def _merge(  # type: ignore[no-untyped-def]
    sums, tops, norms, place, out, chunks, width: tl.constexpr, size: tl.constexpr, most: tl.constexpr,
    part: tl.constexpr,
):  # fmt: skip
    """What a head has found in the chunks up to `place`, as if it had attended to all of them at once."""
    head, lane = tl.program_id(0), tl.arange(0, width)
    used, mine = tl.load(place) // size + 1, head * chunks
    every = tl.arange(0, most)
    top = tl.max(tl.load(tops + mine + every, every < used, other=float("-inf")), axis=0)
    total, norm = tl.zeros((width,), tl.float32), 0.0
    for first in range(0, used, part):
        chunk = first + tl.arange(0, part)
        live = chunk < used
        share = tl.exp(tl.load(tops + mine + chunk, live, other=float("-inf")) - top)
        found = tl.load(sums + (mine + chunk)[:, None] * width + lane[None, :], live[:, None], other=0.0)
        total += tl.sum(found * share[:, None], axis=0)
        norm += tl.sum(tl.load(norms + mine + chunk, live, other=0.0) * share, axis=0)
    tl.store(out + head * width + lane, (total / norm).to(out.dtype.element_ty))


def attend_one(query: Tensor, key: Tensor, value: Tensor, keys: Tensor, values: Tensor, place: Tensor) -> Tensor:
    """Attention of one token that joins a cache with room for more at `place`, over places 0 to `place`.

    query [1, 1, heads, d]; key, value [1, 1, kv_heads, d], written into keys, values [1, capacity, kv_heads, d]; place
    int64 [1]. Returns [1, 1, heads * d].
    """
    capacity, kv_heads, width = keys.shape[1:]
    heads, chunks = query.shape[2], triton.cdiv(capacity, CHUNK)
    make: dict[str, Any] = {"dtype": torch.float32, "device": query.device}
    sums = torch.empty(heads, chunks, width, **make)
    tops, norms = torch.empty(heads, chunks, **make), torch.empty(heads, chunks, **make)
    out = torch.empty(1, 1, heads * width, dtype=query.dtype, device=query.device)
    shape = {"heads": kv_heads, "group": heads // kv_heads, "width": width, "size": CHUNK}
    token = [part.contiguous() for part in (query, key, value)]
    _attend[(kv_heads, chunks)](*token, keys, values, place, sums, tops, norms, width**-0.5, num_warps=4, **shape)
    shape = {"width": width, "size": CHUNK, "most": triton.next_power_of_2(chunks), "part": 16}
    _merge[(heads,)](sums, tops, norms, place, out, chunks, num_warps=4, **shape)
    return out
