# SPDX-License-Identifier: Apache-2.0
"""What a product in FP8 reads, rounded by the Triton kernel that makes it: each row is read once.

Rows are rounded to E4M3 with a scale of their own, their largest number over the format's. `dtype`
is that of the rounded numbers; another one is for tests without FP8.
"""

from __future__ import annotations

from collections.abc import Sequence

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
def _gate(  # type: ignore[no-untyped-def]
    both, out, scale, width, most: tl.constexpr, part: tl.constexpr
):
    """A row: silu of its first `width` numbers times the others."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    place = both + row * 2 * width + column
    gate = tl.load(place, live, 0.0).to(tl.float32)
    found = gate / (1.0 + tl.exp(-gate)) * tl.load(place + width, live, 0.0).to(tl.float32)
    _store(found, out, scale, row, width, column, live, most)


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x, more, weight, total, out, scale, width, eps,
    added: tl.constexpr, last: tl.constexpr, most: tl.constexpr, part: tl.constexpr
):  # fmt: skip
    """A row of x, and of `more` if it is added, through an RMSNorm; every dtype as in `RMSNorm`."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    place = row * width + column
    found = tl.load(x + place, live, 0.0)
    if added:
        found = (found.to(tl.float32) + tl.load(more + place, live, 0.0).to(tl.float32)).to(
            total.dtype.element_ty
        )
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


def gate_rounded(both: Tensor, dtype: torch.dtype = E4M3) -> tuple[Tensor, Tensor]:
    """silu(gate) * up of [rows, 2 * n], gate first: rounded [rows, n], float32 scales [rows, 1]."""
    rows, width = both.shape[0], both.shape[1] // 2
    out, scale = _rounded(rows, width, both.device, dtype)
    _gate[(rows,)](both, out, scale, width, LARGEST, _part(width), num_warps=_warps(width))
    return out, scale


def norm_rounded(
    x: Tensor,
    weight: Tensor,
    eps: float,
    round_last: bool,
    more: Tensor | None = None,
    dtype: torch.dtype = E4M3,
) -> tuple[Tensor, Tensor, Tensor]:
    """RMSNorm of x [rows, n], or of x + more: rounded [rows, n], scales [rows, 1], and the sum."""
    rows, width = x.shape
    out, scale = _rounded(rows, width, x.device, dtype)
    total = x if more is None else torch.empty_like(x)
    _norm[(rows,)](
        x, x if more is None else more, weight, total, out, scale, width, eps,
        more is not None, round_last, LARGEST, _part(width), num_warps=_warps(width),
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
