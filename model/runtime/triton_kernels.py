# SPDX-License-Identifier: Apache-2.0
"""Triton kernels for decoding one token at a time: matrix-vector products and flash decoding.

Reading weights and cache from memory is what takes time here, so that each kernel also does the
arithmetic before and after it.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, SLICE = 4, 1024  # rows of the weight that a program reads at once, and columns of each
CHUNK = 32  # tokens of the cache that a program attends to


@triton.jit
def _dot(  # type: ignore[no-untyped-def]
    x, gain, weight, row, here, width, normed: tl.constexpr, many: tl.constexpr, part: tl.constexpr
):
    """Sums over k of weight[row, k] * gain[k] * x[k] for each row, and of x[k]^2.

    gain: only if `normed`. The first sums are kept in an eighth of the columns until the end, the
    second in all columns.
    """
    start = row[:, None].to(tl.int64) * width
    total, squares = tl.zeros((many, part // 8), tl.float32), tl.zeros((part,), tl.float32)
    for first in range(0, width, part):
        # 8 for a thread, whatever the weights' dtype
        column = tl.max_contiguous(first + tl.arange(0, part), 8)
        live = column < width
        some = tl.load(
            weight + start + column[None, :], here[:, None] & live[None, :], other=0.0
        ).to(tl.float32)
        number = tl.load(x + column, live, other=0.0).to(tl.float32)
        squares += number * number
        if normed:
            number *= tl.load(gain + column, live, other=0.0).to(tl.float32)
        total += tl.sum(tl.reshape(some * number[None, :], (many, part // 8, 8)), axis=2)
    return tl.sum(total, axis=1), tl.sum(squares, axis=0)


@triton.jit
def _halves(bits):  # type: ignore[no-untyped-def]
    """The low 16 bits of integers, read as float16."""
    return bits.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def _dot4(  # type: ignore[no-untyped-def]
    x,
    gain,
    weight,
    blocks,
    row,
    here,
    width,
    normed: tl.constexpr,
    many: tl.constexpr,
    part: tl.constexpr,
):
    """`_dot` for E2M1: two numbers in a byte, the first in its low half, a scale for every 8 bytes.

    Sign, exponent and mantissa of E2M1 at the positions of those of float16 are the number times
    2**-14; both numbers of a byte are shifted there at once.
    """
    start, byte = row.to(tl.int64) * (width // 16), tl.arange(0, 8)
    total, square = tl.zeros((many, part), tl.float32), tl.zeros((part, 8), tl.float32)
    for first in range(0, width // 16, part):
        block = first + tl.arange(0, part)
        live = (block < width // 16)[:, None]
        inside, at = here[:, None] & (block < width // 16)[None, :], start[:, None] + block[None, :]
        pairs = tl.load(
            weight + at[:, :, None] * 8 + byte[None, None, :], inside[:, :, None], other=0
        ).to(tl.int32)
        pairs *= 0x1001  # the first number in the low half, the second in the high one
        halves = ((pairs << 9) & 0x0E000E00) | ((pairs << 12) & -0x7FFF8000)
        place = block[:, None] * 16 + byte[None, :] * 2
        even = tl.load(x + place, live, other=0.0).to(tl.float32)
        odd = tl.load(x + place + 1, live, other=0.0).to(tl.float32)
        if normed:
            square += even * even + odd * odd
            even *= tl.load(gain + place, live, other=0.0).to(tl.float32)
            odd *= tl.load(gain + place + 1, live, other=0.0).to(tl.float32)
        found = tl.sum(
            _halves(halves) * even[None, :, :] + _halves(halves >> 16) * odd[None, :, :], axis=2
        )
        total += found * tl.load(blocks + at, inside, other=0.0).to(tl.float32)
    return tl.sum(total, axis=1) * 16384.0, tl.sum(tl.sum(square, axis=1), axis=0)


@triton.jit
def _matvec(  # type: ignore[no-untyped-def]
    x, gain, weight, scale, blocks, residual, out, rows, width, eps,
    normed: tl.constexpr, scaled: tl.constexpr, packed: tl.constexpr, gated: tl.constexpr,
    added: tl.constexpr, many: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """`many` rows of the product of one token, with norm, gate and residual sum; see `matvec`."""
    each = tl.arange(0, many)
    if gated:  # a row of the first half of the weight, its partner of the second, the next two, ...
        row = tl.program_id(0) * (many // 2) + each // 2
        here = row < rows
        row += (each % 2) * rows
    else:
        row = tl.program_id(0) * many + each
        here = row < rows
    if packed:
        result, square = _dot4(x, gain, weight, blocks, row, here, width, normed, many, part // 16)
    else:
        result, square = _dot(x, gain, weight, row, here, width, normed, many, part)
    if scaled:
        result *= tl.load(scale + row, here, other=0.0)
    if normed:
        result *= tl.rsqrt(square / width + eps)
    if gated:
        gate, up = tl.split(tl.reshape(result, (many // 2, 2)))
        result = gate / (1.0 + tl.exp(-gate)) * up
        row = tl.program_id(0) * (many // 2) + tl.arange(0, many // 2)
        here = row < rows
    if added:
        result += tl.load(residual + row, here, other=0.0).to(tl.float32)
    tl.store(out + row, result.to(out.dtype.element_ty), here)


def matvec(
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None = None,
    blocks: Tensor | None = None,
    norm: tuple[Tensor, float] | None = None,
    gated: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """weight [out, in] @ x [1, ..., in] of one token -> [1, ..., out], summed in float32.

    scale float32 [out, 1]: of the rows; blocks E4M3 [out, in / 16]: of weights in NVFP4, which are
    uint8 [out, in / 2]; norm: weight and epsilon of an RMSNorm that is applied to x first; gated:
    return silu(a) * b of the halves a, b of the outputs, [1, ..., out / 2]; residual [1, ..., out]:
    is added at the end.
    """
    rows, width = weight.shape[0] // (2 if gated else 1), x.shape[-1]
    out = torch.empty(*x.shape[:-1], rows, dtype=x.dtype, device=x.device)
    gain, eps = (weight, 0.0) if norm is None else norm
    # kernels take a pointer for None too, and never read it
    parts = [weight if part is None else part for part in (scale, blocks, residual)]
    kind = {"normed": norm is not None, "scaled": scale is not None, "packed": blocks is not None}
    kind |= {"gated": gated, "added": residual is not None}
    grid = (triton.cdiv(rows, ROWS),)
    # twice as many, to be as many bytes
    narrow = weight.element_size() == 1 and norm is None and blocks is None
    shape = {"many": 2 * ROWS if gated else ROWS, "part": 2 * SLICE if narrow else SLICE}
    _matvec[grid](x.contiguous(), gain, weight, *parts, out, rows, width, eps, **kind, **shape)
    return out


@triton.jit
def _head(  # type: ignore[no-untyped-def]
    vector,
    gain,
    cosine,
    sine,
    eps,
    rotated: tl.constexpr,
    normed: tl.constexpr,
    width: tl.constexpr,
):
    """One head of a query or key; if `rotated`, after its norm, if any, and `layers.rotate`."""
    lane = tl.arange(0, width)
    mine = tl.load(vector + lane).to(tl.float32)
    if rotated:
        far = (lane + width // 2) % width
        other = tl.load(vector + far).to(tl.float32)
        if normed:
            factor = tl.rsqrt(tl.sum(mine * mine, axis=0) / width + eps)
            mine *= factor * tl.load(gain + lane).to(tl.float32)
            other *= factor * tl.load(gain + far).to(tl.float32)
        other = tl.where(lane < width // 2, -other, other)
        mine = mine * tl.load(cosine + lane).to(tl.float32) + other * tl.load(sine + lane).to(
            tl.float32
        )
    return mine


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    query, new_key, new_value, keys, values, index, position, cosine, sine, query_gain, key_gain,
    sums, tops, norms, factor, eps, rotated: tl.constexpr, normed: tl.constexpr,
    heads: tl.constexpr, group: tl.constexpr, width: tl.constexpr, size: tl.constexpr,
):  # fmt: skip
    """First pass of flash decoding: one chunk of the cache for the queries of one key/value head.

    The last chunk stores the new key and value.
    """
    head, chunk, chunks = tl.program_id(0), tl.program_id(1), tl.num_programs(1)
    length = tl.load(index) + 1
    if chunk * size >= length:
        return
    if rotated:
        cosine += tl.load(position) * width
        sine += tl.load(position) * width
    lane = tl.arange(0, width)
    row = chunk * size + tl.arange(0, size)
    seen, old, new = row < length, (row < length - 1)[:, None], (row == length - 1)[:, None]
    where = (row[:, None] * heads + head) * width + lane[None, :]
    key = _head(new_key + head * width, key_gain, cosine, sine, eps, rotated, normed, width).to(
        keys.dtype.element_ty
    )
    key = tl.where(new, key[None, :], tl.load(keys + where, old, other=0.0))
    value = tl.where(
        new,
        tl.load(new_value + head * width + lane)[None, :],
        tl.load(values + where, old, other=0.0),
    )
    tl.store(keys + where, key, new)
    tl.store(values + where, value, new)
    key, value = key.to(tl.float32), value.to(tl.float32)
    for number in tl.static_range(group):
        mine = query + (head * group + number) * width
        one = _head(mine, query_gain, cosine, sine, eps, rotated, normed, width)
        score = tl.where(seen, tl.sum(key * one[None, :], axis=1) * factor, float("-inf"))
        top = tl.max(score, axis=0)
        weight = tl.exp(score - top)
        at = (head * group + number) * chunks + chunk
        tl.store(sums + at * width + lane, tl.sum(value * weight[:, None], axis=0))
        tl.store(tops + at, top)
        tl.store(norms + at, tl.sum(weight, axis=0))


@triton.jit
def _combine(  # type: ignore[no-untyped-def]
    sums, tops, norms, index, out, chunks,
    width: tl.constexpr, size: tl.constexpr, most: tl.constexpr, part: tl.constexpr,
):  # fmt: skip
    """Second pass of flash decoding: combine the chunks of one head by log-sum-exp.

    sums, tops, norms: weighted values, maximum and normalizer of each chunk up to `index`.
    """
    head, lane = tl.program_id(0), tl.arange(0, width)
    used, mine = tl.load(index) // size + 1, head * chunks
    every = tl.arange(0, most)
    top = tl.max(tl.load(tops + mine + every, every < used, other=float("-inf")), axis=0)
    total, norm = tl.zeros((width,), tl.float32), 0.0
    for first in range(0, used, part):
        chunk = first + tl.arange(0, part)
        live = chunk < used
        share = tl.exp(tl.load(tops + mine + chunk, live, other=float("-inf")) - top)
        found = tl.load(
            sums + (mine + chunk)[:, None] * width + lane[None, :], live[:, None], other=0.0
        )
        total += tl.sum(found * share[:, None], axis=0)
        norm += tl.sum(tl.load(norms + mine + chunk, live, other=0.0) * share, axis=0)
    tl.store(out + head * width + lane, (total / norm).to(out.dtype.element_ty))


def flash_decode(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    keys: Tensor,
    values: Tensor,
    index: Tensor,
    rotation: tuple[Tensor, Tensor, Tensor] | None = None,
    gains: tuple[Tensor, Tensor, float] | None = None,
) -> Tensor:
    """Attention of one token over a static KV cache by flash decoding; the token joins the cache.

    Programs attend to chunks of the cache in parallel, a second pass combines them. query
    [1, 1, heads, d]; key, value [1, 1, kv_heads, d], written at `index` (int64 [1]) into keys,
    values [1, capacity, kv_heads, d], of which 0 to `index` are attended to. rotation: position
    int64 [1] and tables of cosines and sines [1, positions, d], if query and key are not rotated
    yet; gains: weights of the norms of query and key and their epsilon, if they are not normed yet.
    Returns [1, 1, heads * d].
    """
    capacity, kv_heads, width = keys.shape[1:]
    heads, chunks = query.shape[2], triton.cdiv(capacity, CHUNK)
    make: dict[str, Any] = {"dtype": torch.float32, "device": query.device}
    sums = torch.empty(heads, chunks, width, **make)
    tops, norms = torch.empty(heads, chunks, **make), torch.empty(heads, chunks, **make)
    out = torch.empty(1, 1, heads * width, dtype=query.dtype, device=query.device)
    token = [part.contiguous() for part in (query, key, value)]
    rope = rotation or (index, keys, keys)  # not read without rotation
    *weights, eps = gains or (keys, keys, 0.0)
    shape = {"heads": kv_heads, "group": heads // kv_heads, "width": width, "size": CHUNK}
    kind = {"rotated": rotation is not None, "normed": gains is not None}
    found = (sums, tops, norms)
    _attend[(kv_heads, chunks)](
        *token,
        keys,
        values,
        index,
        *rope,
        *weights,
        *found,
        width**-0.5,
        eps,
        num_warps=4,
        **kind,
        **shape,
    )
    shape = {"width": width, "size": CHUNK, "most": triton.next_power_of_2(chunks), "part": 16}
    _combine[(heads,)](*found, index, out, chunks, num_warps=4, **shape)
    return out
