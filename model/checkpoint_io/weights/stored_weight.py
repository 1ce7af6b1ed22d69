# SPDX-License-Identifier: Apache-2.0
"""How a weight lies in a checkpoint: its dtype, its scales, and how to read it as what it is.

Understood are floats, and FP8 and INT8 weights with a scale per tensor, row or block (as ModelOpt,
compressed-tensors, DeepSeek and Qwen write them), and ModelOpt's NVFP4. Everything else is refused
by name, and so is a scale that no weight is read with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...runtime.quantize import NVFP4
from ..safetensors_io import Stored

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# Numbers that mean something only with a scale.
SCALED = {"F8_E4M3": "FP8 E4M3", "F8_E5M2": "FP8 E5M2", "I8": "INT8"}
SCALES = {*FLOATS, "F8_E8M0"}
NVFP4_GROUP = 16  # inputs that share a scale
# Suffixes of a weight's own name: what it is to be multiplied by.
_FACTORS = ("_scale", "_scale_inv")
_GLOBAL = "_scale_2"
# Of activations, which are not rounded here: may lie beside a weight that has a scale.
_ACTIVATIONS = ("input_scale", "input_scale_inv", "activation_scale")
# What else lies beside a weight that others have packed: whose it is, by the end of the name.
_OTHERS = {
    "weight_packed": "packed weights of compressed-tensors",
    "weight_global_scale": "packed weights of compressed-tensors",
    "weight_shape": "packed weights of compressed-tensors",
    "weight_zero_point": "weights with a zero point",
    "pre_quant_scale": "AWQ weights of ModelOpt",
    "qweight": "GPTQ or AWQ weights",
    "qzeros": "GPTQ or AWQ weights",
    "g_idx": "GPTQ weights",
    "SCB": "INT8 weights of bitsandbytes",
    "weight_format": "INT8 weights of bitsandbytes",
    "weight.absmax": "4-bit weights of bitsandbytes",
    "weight.quant_map": "4-bit weights of bitsandbytes",
    "weight_blocks": "MXFP4 weights",
    "weight_scales": "MXFP4 weights",
}


@dataclasses.dataclass(frozen=True, slots=True)
class WeightLayout:
    """A weight of a checkpoint and the tensors it is read with."""

    name: str
    stored: Stored
    shape: tuple[int, ...]  # of the weight, which packed ones have not in the file
    scale: str = ""
    overall: str = ""  # the scale of the scales, where they have one

    @property
    def plain(self) -> bool:
        """Whether the file holds the very numbers."""
        return not self.scale

    @property
    def names(self) -> set[str]:
        """All the tensors that it is read from, of a checkpoint's."""
        return {self.name, self.scale, self.overall} - {""}

    def read(self, get: Callable[[str], Tensor]) -> Tensor:
        """The weight, in float32 where it is scaled; get: a tensor of the checkpoint by name."""
        weight = get(self.name)
        if self.plain:
            return weight
        scale = get(self.scale)
        if self.overall:
            blocks = scale.to(torch.float8_e4m3fn)
            overall = get(self.overall).float().reshape(1, 1).expand(len(weight), 1)
            return NVFP4(weight, overall, blocks).dequantize(torch.float32)
        return weight.float() * _spread(scale.float(), self.shape)


def layout_of(name: str, tensors: Mapping[str, Stored]) -> WeightLayout:
    """How the weight `name` lies among these tensors; ValueError if it cannot be read as it is."""
    stored = tensors[name]
    scales = [name + end for end in _FACTORS if name + end in tensors]
    if stored.dtype in FLOATS:
        if scales:
            raise ValueError(
                f"{stored.file}: {name} is in {stored.dtype}, expected no scale of it, got "
                f"{scales[0]}"
            )
        return WeightLayout(name, stored, stored.shape)
    if other := packed_by(name, tensors):
        raise ValueError(f"{stored.file}: {name} is of {other}")
    if stored.dtype == "U8" and name + _GLOBAL in tensors and scales:
        return _nvfp4(name, tensors, scales[0])
    if stored.dtype not in SCALED:
        raise ValueError(
            f"{stored.file}: {name} is in {stored.dtype}, expected one of "
            f"{', '.join([*FLOATS, *SCALED])} or ModelOpt's NVFP4"
        )
    if len(scales) != 1 or name + _GLOBAL in tensors:
        got = " and ".join([*scales, *({name + _GLOBAL} & tensors.keys())]) or "none"
        raise ValueError(
            f"{stored.file}: {name} is in {SCALED[stored.dtype]}, expected its scale "
            f"{name}{_FACTORS[0]}, got {got}"
        )
    scale = tensors[scales[0]]
    if scale.dtype not in SCALES:
        raise ValueError(
            f"{scale.file}: {scales[0]} is in {scale.dtype}, expected one of "
            f"{', '.join(sorted(SCALES))}"
        )
    if len(stored.shape) != 2 or _blocks(scale.shape, stored.shape) is None:
        raise ValueError(
            f"{scale.file}: {scales[0]} has shape {list(scale.shape)}, expected a number for all "
            f"of {name} {list(stored.shape)}, for each row, or for blocks of a power of two"
        )
    return WeightLayout(name, stored, stored.shape, scales[0])


def _nvfp4(name: str, tensors: Mapping[str, Stored], scale: str) -> WeightLayout:
    """Two numbers in a byte, an E4M3 scale for every 16 inputs, and one for these scales."""
    stored, blocks, overall = (tensors[each] for each in (name, scale, name + _GLOBAL))
    rows, columns = stored.shape if len(stored.shape) == 2 else (0, 0)
    expected = (rows, 2 * columns // NVFP4_GROUP)
    whole = rows and 2 * columns % NVFP4_GROUP == 0
    if not whole or (blocks.dtype, blocks.shape) != ("F8_E4M3", expected):
        raise ValueError(
            f"{blocks.file}: {name} is in U8 and has two scales as in NVFP4, expected {scale} in "
            f"F8_E4M3 {list(expected)}, got {blocks.dtype} {list(blocks.shape)}"
        )
    if overall.dtype not in FLOATS or overall.shape not in ((), (1,)):
        raise ValueError(
            f"{overall.file}: {name}{_GLOBAL}: expected one number, got {overall.dtype} "
            f"{list(overall.shape)}"
        )
    return WeightLayout(name, stored, (rows, 2 * columns), scale, name + _GLOBAL)


def used_beside(layout: WeightLayout, tensors: Mapping[str, Stored]) -> set[str]:
    """The tensors that may lie beside a weight: those it is read from, and activations' scales."""
    if layout.plain:
        return layout.names
    module = layout.name.rpartition(".")[0]
    return layout.names | ({f"{module}.{end}" for end in _ACTIVATIONS} & tensors.keys())


def owner(name: str) -> str:
    """The weight that a scale belongs to, by its name; "" for what is no scale."""
    for end in (_GLOBAL, *reversed(_FACTORS), "_zero_point"):
        if name.endswith(end) and not name.endswith(_ACTIVATIONS):
            return name.removesuffix(end)
    module, _, last = name.rpartition(".")
    return f"{module}.weight" if last in (*_ACTIVATIONS, *_OTHERS) else ""


def explain(name: str) -> str:
    """What a tensor tells that no module has, in words; "" if nothing is known of its name."""
    known = next((whose for end, whose in _OTHERS.items() if name.endswith("." + end)), "")
    if known:
        return f"{known}, which are not read here"
    if "lora_" in name:
        return "a LoRA adapter, which has to be merged into the weights first"
    return "a scale without a weight that is rounded" if owner(name) else ""


def packed_by(name: str, tensors: Mapping[str, Stored]) -> str:
    """Whose packed weight lies where the weight `name` is wanted, in words; "" if none does."""
    module = name.rpartition(".")[0]
    beside = (f"{module}.{end}" for end in _OTHERS)
    return next((explain(each) for each in beside if each in tensors), "")


def _blocks(scale: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, int] | None:
    """Rows and columns of a weight that share a scale; None if the shapes do not fit.

    A scale with one dimension is one for each row. Blocks have sides of a power of two, of which
    the last may be cut off: then there is one side, whatever the number of blocks.
    """
    if 0 in weight:
        return None
    if len(scale) < 2:
        scale = (*scale, *(1,) * (2 - len(scale)))
    if len(scale) != 2 or len(weight) != 2:
        return None
    sides = [_side(parts, length) for parts, length in zip(scale, weight, strict=True)]
    return None if None in sides else (sides[0] or 1, sides[1] or 1)


def _side(parts: int, length: int) -> int | None:
    if parts == 1:
        return length
    powers = (2**power for power in range(length.bit_length()))
    return next((side for side in powers if -(-length // side) == parts), None)


def _spread(scale: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A scale as something that multiplies a weight [rows, columns]."""
    sides = _blocks(tuple(scale.shape), shape)
    assert sides  # see `layout_of`
    grid = scale.reshape(scale.shape if scale.ndim == 2 else (-1, 1))
    for axis, (side, length) in enumerate(zip(sides, shape, strict=True)):
        if grid.shape[axis] not in (1, length):
            grid = grid.repeat_interleave(side, axis).narrow(axis, 0, length)
    return grid
