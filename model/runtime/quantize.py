# SPDX-License-Identifier: Apache-2.0
"""Linear layers with weights in 8 or 4 bits: FP8, int8 and NVFP4.

FP8 multiplies in FP8; int8 and NVFP4 weights are multiplied in the network's dtype. Every output
channel has its own scale, so that layers can be joined and split without rounding again. A new
format is one subclass of `QuantizedLinear`, entered in `FORMATS` and in `options.WEIGHT_FORMATS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..embodiment.table import nearest
from ..network.layers import RMSNorm

if torch.version.cuda:  # other builds of torch come without Triton
    from .rounding_kernels import Product, gate_rounded, norm_rounded, rows_rounded
    from .triton_kernels import matvec

E4M3, LARGEST = torch.float8_e4m3fn, 448.0
# FP8 products on a GPU of at most so many rows have one scale, and the scales of rows and channels
# come after: the library reads the weights faster then. 0: never.
FEW_ROWS = 128
# The non-negative numbers of E2M1, by code; the fourth bit is the sign.
NIBBLES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


class QuantizedLinear(nn.Module):
    """x @ W.T for a frozen weight [out, in], without bias: [..., in] -> [..., out].

    This class keeps the weight as it was trained, subclasses round it. A single token on a GPU is
    multiplied by a Triton kernel.
    """

    # Memory of a weight with its scales, from bfloat16.
    bytes_per_weight: ClassVar[float] = 2.0
    # float32 [out, 1]: factors of the rows of the stored weight.
    scale: Tensor | None
    # Factors of groups of inputs, see `NVFP4`.
    blocks: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor | None = None, blocks: Tensor | None = None):
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("scale", scale)
        self.register_buffer("blocks", blocks)

    @classmethod
    def from_weight(cls, weight: Tensor) -> QuantizedLinear:
        """Quantize a weight [out, in] as it was trained."""
        return cls(weight)

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        """The weight [out, in] that the stored numbers stand for."""
        if self.scale is None:
            return self.weight.to(dtype)
        return (self.weight.float() * self.scale).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda and x.numel() == x.shape[-1]:
            return matvec(x, self.weight, self.scale, self.blocks)
        return self.matmul(x)

    def matvec(
        self,
        x: Tensor,
        norm: RMSNorm | None = None,
        gated: bool = False,
        residual: Tensor | None = None,
    ) -> Tensor:
        """`forward` for one token on a GPU, fused; see `triton_kernels.matvec`."""
        before = None if norm is None else (norm.weight, norm.eps)
        return matvec(x, self.weight, self.scale, self.blocks, before, gated, residual)

    def matmul(self, x: Tensor) -> Tensor:
        """`forward` for any number of tokens."""
        return functional.linear(x, self.dequantize(x.dtype))


class FP8(QuantizedLinear):
    """E4M3 with a scale per output channel; activations are rounded too, with a scale per token."""

    bytes_per_weight = 1.0
    one: Tensor

    def __init__(self, weight: Tensor, scale: Tensor | None = None, blocks: Tensor | None = None):
        super().__init__(weight, scale, blocks)
        # the scale of products that have one; made here, as each product would make its own
        self.register_buffer("one", torch.ones((), device=weight.device), persistent=False)

    @classmethod
    def from_weight(cls, weight: Tensor) -> FP8:
        return cls(*_round(weight))

    def matmul(self, x: Tensor) -> Tensor:
        rounded, scale = _round(x.reshape(-1, x.shape[-1]))
        assert self.scale is not None  # see `from_weight`
        if not x.is_cuda:  # the same numbers without FP8 arithmetic
            out = functional.linear(rounded.float(), self.weight.float()) * scale * self.scale.T
        else:
            out = self._product(rounded, scale).tensor()
        return out.to(x.dtype).view(*x.shape[:-1], -1)

    def gated_matmul(self, both: Product) -> Product:
        """The product of silu(gate) * up: [rows, 2 * in], gate first, -> [rows, out]; on a GPU."""
        return self._product(*gate_rounded(both))

    def normed_matmul(
        self, x: Tensor | tuple[Tensor, Product], norm: RMSNorm
    ) -> tuple[Product, Tensor]:
        """The product of the norm of x, or of both summands, and their sum; on a GPU.

        x [..., in]; the second summand and the product have as many rows as x has tokens.
        """
        x, more = (x, None) if isinstance(x, Tensor) else x
        flat = x.reshape(-1, x.shape[-1]).contiguous()
        small, scale, total = norm_rounded(flat, norm.weight, norm.eps, norm.round_last, more)
        return self._product(small, scale), total.view(x.shape)

    def joined_matmul(self, parts: Sequence[Tensor]) -> Product:
        """The product of [..., in] each, one after the other: [all tokens, out]; on a GPU."""
        flat = [part.reshape(-1, part.shape[-1]).contiguous() for part in parts]
        return self._product(*rows_rounded(flat))

    def _product(self, rounded: Tensor, scale: Tensor) -> Product:
        """The product of rounded rows and their scales, in bfloat16, on a GPU."""
        assert self.scale is not None  # see `from_weight`
        few = len(rounded) <= FEW_ROWS
        out = torch._scaled_mm(  # noqa: SLF001 has no public name
            rounded,
            self.weight.T,
            self.one if few else scale,
            self.one if few else self.scale.T,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return Product(out, scale, self.scale) if few else Product(out)


class Int8(QuantizedLinear):
    """Integers from -127 to 127 with a scale per output channel."""

    bytes_per_weight = 1.0

    @classmethod
    def from_weight(cls, weight: Tensor) -> Int8:
        scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        return cls((weight.float() / scale).round().to(torch.int8), scale)


class NVFP4(QuantizedLinear):
    """E2M1, two numbers in a byte, the first in its low half; the number of inputs is 16 k.

    blocks: E4M3 [out, in / 16], a scale for every 16 inputs; scale: one float32 for all weights, as
    in NVFP4 files, but repeated for every output channel.
    """

    bytes_per_weight = 0.5625

    @classmethod
    def from_weight(cls, weight: Tensor) -> NVFP4:
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

    def dequantize(self, dtype: torch.dtype) -> Tensor:
        assert self.scale is not None  # see `from_weight`
        assert self.blocks is not None
        codes = torch.stack([self.weight & 15, self.weight >> 4], dim=2).flatten(1).int()
        scale = self.blocks.float() * self.scale
        values = _decode_e2m1(codes).unflatten(1, (-1, 16)) * scale.unsqueeze(2)
        return values.flatten(1).to(dtype)


FORMATS: dict[str, type[QuantizedLinear]] = {
    "none": QuantizedLinear,
    "fp8": FP8,
    "int8": Int8,
    "nvfp4": NVFP4,
}


def _decode_e2m1(codes: Tensor) -> Tensor:
    """E2M1 codes (int, 0 to 15) -> float32.

    By arithmetic: a table would have to be copied to the device each time.
    """
    exponent, mantissa = (codes >> 1) & 3, codes & 1
    halves = (2 * (exponent > 0) + mantissa) << (exponent - 1).clamp(min=0)
    return torch.where(codes < 8, halves, -halves) / 2


def _round(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round x [rows, n] to E4M3; also returns the float32 scale of each row, [rows, 1]."""
    scale = x.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(E4M3), scale


def join(parts: Sequence[nn.Module]) -> nn.Module:
    """Linear layers of the same input as one layer, their outputs concatenated."""
    first = parts[0]
    if isinstance(first, QuantizedLinear):
        stacks = [[getattr(part, name) for part in parts] for name in ("weight", "scale", "blocks")]
        weight, scale, blocks = (None if stack[0] is None else torch.cat(stack) for stack in stacks)
        assert weight is not None  # every layer has one
        return type(first)(weight, scale, blocks)
    weight = torch.cat([part.get_parameter("weight") for part in parts])
    joined = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    joined.weight = nn.Parameter(weight, requires_grad=False)
    return joined


def quantize(layers: Iterable[nn.Module], weight_format: str) -> None:
    """Make every linear part of the layers a `QuantizedLinear` of this format, in place.

    weight_format: a name of FORMATS; "none" does not round. ValueError for parts that are rounded.
    """
    if weight_format not in FORMATS:
        raise ValueError(
            f"quantization: expected one of {sorted(FORMATS)}, got {weight_format!r}"
            f"{nearest(weight_format, FORMATS)}"
        )
    for layer in layers:
        for module in [*layer.modules()]:
            for name, part in [*module.named_children()]:
                if isinstance(part, nn.Linear) or type(part) is QuantizedLinear:
                    weight = part.get_parameter("weight")
                    setattr(module, name, FORMATS[weight_format].from_weight(weight))
                elif isinstance(part, QuantizedLinear):
                    raise ValueError(
                        f"quantization: expected weights as trained, "
                        f"{name} is {type(part).__name__} already"
                    )
