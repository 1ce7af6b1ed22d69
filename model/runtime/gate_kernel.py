# SPDX-License-Identifier: Apache-2.0
"""The gate of an MLP and its rounding to FP8 as one Triton kernel, which reads a row once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

E4M3 = torch.float8_e4m3fn


@triton.jit
def _gate(  # type: ignore[no-untyped-def]
    both, out, scale, width, most: tl.constexpr, part: tl.constexpr
):
    """A row: silu of its first `width` numbers times the others, over the row's scale."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, part)
    live = column < width
    place = both + row * 2 * width + column
    gate = tl.load(place, live, 0.0).to(tl.float32)
    found = gate / (1.0 + tl.exp(-gate)) * tl.load(place + width, live, 0.0).to(tl.float32)
    factor = tl.maximum(tl.max(tl.abs(found), 0), 1e-12) / most
    small = tl.minimum(tl.maximum(found / factor, -most), most)
    tl.store(scale + row, factor)
    tl.store(out + row * width + column, small.to(out.dtype.element_ty), live)


def gate_rounded(both: Tensor, dtype: torch.dtype = E4M3) -> tuple[Tensor, Tensor]:
    """silu(gate) * up of [rows, 2 * n], gate first: E4M3 [rows, n], float32 scales [rows, 1].

    dtype: of the rounded numbers; another one is for tests without FP8.
    """
    rows, width = both.shape[0], both.shape[1] // 2
    out = torch.empty(rows, width, device=both.device, dtype=dtype)
    scale = torch.empty(rows, 1, device=both.device, dtype=torch.float32)
    part = 1 << (width - 1).bit_length()
    _gate[(rows,)](both, out, scale, width, 448.0, part, num_warps=16 if part > 4096 else 4)
    return out, scale
