# SPDX-License-Identifier: Apache-2.0
"""Weights in 8 or 4 bits: FP8 arithmetic, or weights alone (int8, NVFP4) that are multiplied in the network's dtype.

Every output channel keeps a scale of its own, so that products can be joined and split without
rounding again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..network.layers import RMSNorm

if torch.version.cuda:  # other builds of torch come without Triton
    from .triton_kernels import matvec

E4M3, LARGEST = torch.float8_e4m3fn, 448.0
NIBBLES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # E2M1; the fourth bit is the sign


class QuantizedLinear(nn.Module):
    """x @ W.T for a weight [out, in] that no longer changes, without bias: [..., in] -> [..., out].

    A lone token on a GPU takes a kernel of its own. scale: float32 [out, 1], what the rows of the
    stored weight are to be multiplied with; blocks: the same for groups of inputs, see `NVFP4`.
    """

    scale: Tensor | None
    blocks: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor | None = None, blocks: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale)
        self.register_buffer("blocks", blocks)

    @classmethod
    def of(cls, weight: Tensor) -> QuantizedLinear:
        """From a weight as it was trained."""
        return cls(weight)

    def whole(self, dtype: torch.dtype) -> Tensor:
        """The weight [out, in] as it acts."""
        return (
            self.weight.to(dtype)
            if self.scale is None
            else (self.weight.float() * self.scale).to(dtype)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and x.numel() == x.shape[-1]:
            return matvec(x, self.weight, self.scale, self.blocks)
        return self.many(x)

    def one(
        self,
        x: Tensor,
        norm: RMSNorm | None = None,
        gated: bool = False,
        more: Tensor | None = None,
    ) -> Tensor:
        """The same for one token on a GPU, with what comes before and after it in the same kernel, see `matvec`."""
        before = None if norm is None else (norm.weight, norm.eps)
        return matvec(x, self.weight, self.scale, self.blocks, before, gated, more)

    def many(self, x: Tensor) -> Tensor:
        """The same for many tokens."""
        return functional.linear(x, self.whole(x.dtype))


class FP8(QuantizedLinear):
    """E4M3 with a scale per output channel; activations are rounded too, with a scale per token."""

    @classmethod
    def of(cls, weight: Tensor) -> FP8:
        """Round a weight [out, in]."""
        return cls(*_round(weight))

    def many(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        rounded, scale = _round(flat)
        assert self.scale is not None  # see `of`
        if not x.is_cuda:  # the same numbers without FP8 arithmetic
            out = functional.linear(rounded.float(), self.weight.float()) * scale * self.scale.T
        else:
            out = torch._scaled_mm(
                rounded,
                self.weight.T,
                scale,
                self.scale.T,
                out_dtype=torch.bfloat16,
                use_fast_accum=True,
            )
        return out.to(x.dtype).view(*x.shape[:-1], -1)


class Int8(QuantizedLinear):
    """Whole numbers from -127 to 127 with a scale per output channel."""

    @classmethod
    def of(cls, weight: Tensor) -> Int8:
        """Round a weight [out, in]."""
        scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return cls((weight.float() / scale).round().to(torch.int8), scale)


class NVFP4(QuantizedLinear):
    """E2M1, two in a byte, the first in its low half.

    An E4M3 scale for every 16 inputs and a float32 one for all.

    As in NVFP4 files, but that the latter is repeated for every output channel.
    """

    @classmethod
    def of(cls, weight: Tensor) -> NVFP4:
        """Round a weight [out, in], in a multiple of 16."""
        if weight.shape[1] % 16:
            raise ValueError(f"nvfp4: expected a multiple of 16 inputs, got {weight.shape[1]}")
        groups = weight.float().unflatten(1, (-1, 16))
        tops = groups.abs().amax(2) / NIBBLES[-1]
        most = tops.amax().clamp(min=1e-12) / LARGEST
        blocks = (tops / most).to(E4M3)
        size = groups.abs() / (blocks.float() * most).clamp(min=1e-12).unsqueeze(2)
        steps = torch.tensor(NIBBLES, device=weight.device)
        nibble = torch.bucketize(size, (steps[1:] + steps[:-1]) / 2) + 8 * (groups < 0)
        pairs = nibble.to(torch.uint8).flatten(1).unflatten(1, (-1, 2))
        return cls(
            pairs[..., 0] | pairs[..., 1] << 4, most.expand(len(weight), 1).contiguous(), blocks
        )

    def whole(self, dtype: torch.dtype) -> Tensor:
        assert self.scale is not None  # see `of`
        assert self.blocks is not None
        codes = torch.stack([self.weight & 15, self.weight >> 4], dim=2).flatten(1).int()
        scale = self.blocks.float() * self.scale
        return (_numbers(codes).unflatten(1, (-1, 16)) * scale.unsqueeze(2)).flatten(1).to(dtype)


KINDS: dict[str, type[QuantizedLinear]] = {
    "none": QuantizedLinear,
    "fp8": FP8,
    "int8": Int8,
    "nvfp4": NVFP4,
}


def _numbers(codes: Tensor) -> Tensor:
    """What E2M1 codes (int) mean, float32.

    By arithmetic: a table would have to be copied to the device each time.
    """
    exponent, mantissa = (codes >> 1) & 3, codes & 1
    halves = (2 * (exponent > 0) + mantissa) << (exponent - 1).clamp(min=0)
    return torch.where(codes < 8, halves, -halves) / 2


def _round(x: Tensor) -> tuple[Tensor, Tensor]:
    """E4M3 [rows, n] and the float32 scale of each row [rows, 1]."""
    scale = x.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(E4M3), scale


def join(parts: Sequence[nn.Module]) -> nn.Module:
    """Several products of the same input as one, their outputs one after the other."""
    first = parts[0]
    if isinstance(first, QuantizedLinear):
        stacks = [[getattr(part, name) for part in parts] for name in ("weight", "scale", "blocks")]
        weight, scale, blocks = (None if stack[0] is None else torch.cat(stack) for stack in stacks)
        assert weight is not None  # every product has one
        return type(first)(weight, scale, blocks)
    weight = torch.cat([part.get_parameter("weight") for part in parts])
    whole = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    whole.weight = nn.Parameter(weight, requires_grad=False)
    return whole


def quantize(layers: Iterable[nn.Module], kind: str) -> None:
    """Make every linear part of the layers a `Product` of this kind ("none": not rounded), in place and one by one."""
    if kind not in KINDS:
        raise ValueError(f"quantization: expected one of {sorted(KINDS)}, got {kind!r}")
    for layer in layers:
        for module in [*layer.modules()]:
            for name, part in [*module.named_children()]:
                if isinstance(part, nn.Linear) or type(part) is QuantizedLinear:
                    setattr(module, name, KINDS[kind].of(part.get_parameter("weight")))
                elif isinstance(part, QuantizedLinear):
                    raise ValueError(
                        f"quantization: expected weights as trained, {name} is {type(part).__name__} already"
                    )
