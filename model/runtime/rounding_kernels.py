# SPDX-License-Identifier: Apache-2.0
"""What a product in FP8 reads, rounded by the Triton kernel that makes it: each row is read once.

Rows are rounded to E4M3 with a scale of their own, their largest number over the format's. `dtype`
is that of the rounded numbers; another one is for tests without FP8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..network.layers import Rope
from ..network.tower import Attention, HeadParts

E4M3, LARGEST = torch.float8_e4m3fn, 448.0


@triton.jit
def _store(  # type: ignore[no-untyped-def]
    found, out, scale, row, width, column, live, most: tl.constexpr
):
    """A row (float32) over its scale, and the scale."""
    factor = tl.maximum(tl.max(tl.abs(found), 0), 1e-12) / most
    small = tl.minimum(tl.maximum(found / factor, -most), most)
    tl.store(scale + row, factor)
    tl.store(out + row * width + column, small.to(out.dtype.element_ty), live)


@triton.jit
def _scaled(  # type: ignore[no-untyped-def]
    numbers, rows, channels, row, width, column, live, scaled: tl.constexpr
):
    """Numbers `column` of a row of a `Product`, in its dtype."""
    found = tl.load(numbers + row * width + column, live, 0.0)
    if scaled:
        factors = tl.load(rows + row) * tl.load(channels + column, live, 0.0)
        found = (found.to(tl.float32) * factors).to(numbers.dtype.element_ty)
    return found


@triton.jit
def _gate(  # type: ignore[no-untyped-def]
    both, rows, channels, out, scale, width,
    scaled: tl.constexpr, most: tl.constexpr, part: tl.constexpr
):  # fmt: skip
    """A row: silu of its first `width` numbers times the others."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    gate = _scaled(both, rows, channels, row, 2 * width, column, live, scaled).to(tl.float32)
    up = _scaled(both, rows, channels, row, 2 * width, width + column, live, scaled)
    found = gate / (1.0 + tl.exp(-gate)) * up.to(tl.float32)
    _store(found, out, scale, row, width, column, live, most)


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x, more, rows, channels, weight, total, out, scale, width, eps, added: tl.constexpr,
    scaled: tl.constexpr, last: tl.constexpr, most: tl.constexpr, part: tl.constexpr
):  # fmt: skip
    """A row of x, and of `more` if it is added, through an RMSNorm; every dtype as in `RMSNorm`."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    place = row * width + column
    found = tl.load(x + place, live, 0.0)
    if added:
        summand = _scaled(more, rows, channels, row, width, column, live, scaled)
        found = (found.to(tl.float32) + summand.to(tl.float32)).to(total.dtype.element_ty)
        tl.store(total + place, found, live)
    wide = found.to(tl.float32)
    wide = wide * (1.0 / tl.sqrt(tl.sum(wide * wide, 0) / width + eps))
    factors = tl.load(weight + column, live, 0.0).to(tl.float32)
    if last:
        normed = (factors * wide).to(x.dtype.element_ty)
    else:
        normed = (wide.to(x.dtype.element_ty).to(tl.float32) * factors).to(x.dtype.element_ty)
    _store(normed.to(tl.float32), out, scale, row, width, column, live, most)


@triton.jit
def _rows(  # type: ignore[no-untyped-def]
    x, out, scale, first, width, most: tl.constexpr, part: tl.constexpr
):
    """A row of x, which is row `first` and following of what is written."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    found = tl.load(x + row * width + column, live, 0.0).to(tl.float32)
    _store(found, out, scale, first + row, width, column, live, most)


@triton.jit
def _heads(  # type: ignore[no-untyped-def]
    numbers, rows, channels, query_gain, key_gain, cosine, sine, query, key, value, tokens, eps,
    heads: tl.constexpr, kv_heads: tl.constexpr, half: tl.constexpr, repeated: tl.constexpr,
    last: tl.constexpr,
):  # fmt: skip
    """One head of one row of the product of query, key and value: normed and rotated, or a value.

    As `Attention.rotated`; every dtype as in `RMSNorm`. repeated: the cosines and sines are those
    of one sample of `tokens` rows, for all.
    """
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    first, second, total = tl.arange(0, half), half + tl.arange(0, half), heads + 2 * kv_heads
    place = head * 2 * half
    x = _scaled(numbers, rows, channels, row, total * 2 * half, place + first, first >= 0, True)
    y = _scaled(numbers, rows, channels, row, total * 2 * half, place + second, first >= 0, True)
    kind = x.dtype
    if head >= heads + kv_heads:
        out = value + (row * kv_heads + head - heads - kv_heads) * 2 * half
    else:
        if head >= heads:
            gain, out = key_gain, key + (row * kv_heads + head - heads) * 2 * half
        else:
            gain, out = query_gain, query + (row * heads + head) * 2 * half
        x, y = x.to(tl.float32), y.to(tl.float32)
        mean = (tl.sum(x * x, 0) + tl.sum(y * y, 0)) / (2 * half)
        scale = 1.0 / tl.sqrt(mean + eps)
        x, y = x * scale, y * scale
        if not last:
            x, y = x.to(kind).to(tl.float32), y.to(kind).to(tl.float32)
        x = (x * tl.load(gain + first).to(tl.float32)).to(kind).to(tl.float32)
        y = (y * tl.load(gain + second).to(tl.float32)).to(kind).to(tl.float32)
        angle = (row % tokens if repeated else row) * 2 * half
        cosine_x = tl.load(cosine + angle + first).to(tl.float32)
        cosine_y = tl.load(cosine + angle + second).to(tl.float32)
        sine_x = tl.load(sine + angle + first).to(tl.float32)
        sine_y = tl.load(sine + angle + second).to(tl.float32)
        x, y = (x * cosine_x - y * sine_x).to(kind), (y * cosine_y + x * sine_y).to(kind)
    tl.store(out + first, x)
    tl.store(out + second, y)


class Product(NamedTuple):
    """What a matrix product gave, [rows, n], and the float32 scales that it lacks, if it does."""

    numbers: Tensor
    rows: Tensor | None = None  # [rows, 1]
    channels: Tensor | None = None  # [n, 1]

    def tensor(self) -> Tensor:
        """The numbers times their scales."""
        if self.rows is None or self.channels is None:
            return self.numbers
        return (self.numbers.float() * self.rows * self.channels.T).to(self.numbers.dtype)

    def parts(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        """What `_scaled` is given: three tensors, and whether the last two are scales."""
        if self.rows is None or self.channels is None:
            return self.numbers, self.numbers, self.numbers, False
        return self.numbers, self.rows, self.channels, True

    def heads(self, attention: Attention, like: Tensor, rope: Rope) -> HeadParts:
        """`Attention.project` of `like` [B, N, hidden] from the product on, in its dtype."""
        query_norm, key_norm = attention.q_norm, attention.k_norm
        width = attention.head_dim
        many = self.rows is None or width & (width - 1) or attention.generator_k_norm is not None
        if many or query_norm is None or key_norm is None:
            parts = self.tensor().to(like.dtype).view(*like.shape[:-1], -1)
            return attention.rotated(parts.split(attention.widths, -1), rope)
        count, kv_count, _ = (each // width for each in attention.widths)
        query = like.new_empty(*like.shape[:-1], count, width)
        key, value = (like.new_empty(*like.shape[:-1], kv_count, width) for _ in range(2))
        _heads[(len(self.numbers), count + 2 * kv_count)](
            *self, query_norm.weight, key_norm.weight, *(part.contiguous() for part in rope),
            query, key, value, like.shape[1], query_norm.eps, count, kv_count, width // 2,
            len(rope[0]) == 1, query_norm.round_last, num_warps=1,
        )  # fmt: skip
        return query, key, value, None


def gate_rounded(both: Product, dtype: torch.dtype = E4M3) -> tuple[Tensor, Tensor]:
    """silu(gate) * up of [rows, 2 * n], gate first: rounded [rows, n], float32 scales [rows, 1]."""
    *parts, scaled = both.parts()
    rows, width = both.numbers.shape[0], both.numbers.shape[1] // 2
    out, scale = _rounded(rows, width, both.numbers.device, dtype)
    _gate[(rows,)](
        *parts, out, scale, width, scaled, LARGEST, _part(width), num_warps=_warps(width)
    )
    return out, scale


def norm_rounded(
    x: Tensor,
    weight: Tensor,
    eps: float,
    round_last: bool,
    more: Product | None = None,
    dtype: torch.dtype = E4M3,
) -> tuple[Tensor, Tensor, Tensor]:
    """RMSNorm of x [rows, n], or of x + more: rounded [rows, n], scales [rows, 1], and the sum."""
    rows, width = x.shape
    *parts, scaled = (more or Product(x)).parts()
    out, scale = _rounded(rows, width, x.device, dtype)
    total = x if more is None else torch.empty_like(x)
    _norm[(rows,)](
        x, *parts, weight, total, out, scale, width, eps,
        more is not None, scaled, round_last, LARGEST, _part(width), num_warps=_warps(width),
    )  # fmt: skip
    return out, scale, total


def rows_rounded(parts: Sequence[Tensor], dtype: torch.dtype = E4M3) -> tuple[Tensor, Tensor]:
    """The rows of all parts [rows, n] in one: rounded [all rows, n], float32 scales [..., 1]."""
    width = parts[0].shape[1]
    out, scale = _rounded(sum(len(part) for part in parts), width, parts[0].device, dtype)
    first = 0
    for part in parts:
        _rows[(len(part),)](
            part, out, scale, first, width, LARGEST, _part(width), num_warps=_warps(width)
        )
        first += len(part)
    return out, scale


def _rounded(
    rows: int, width: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    out = torch.empty(rows, width, device=device, dtype=dtype)
    return out, torch.empty(rows, 1, device=device, dtype=torch.float32)


def _part(width: int) -> int:
    """Numbers of a row that a program holds: a power of two."""
    return 1 << (width - 1).bit_length()


def _warps(width: int) -> int:
    return 16 if width > 4096 else 4
