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
        return *self, True


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
