# SPDX-License-Identifier: Apache-2.0
"""Quantized weights: representable ones stay exact, others are off by at most half a step."""

import pytest
import torch

from cosmos3_ros.model.acceleration.options import WEIGHT_FORMATS, WEIGHT_FORMATS_TEXT
from cosmos3_ros.model.runtime.quantize import (
    E4M3,
    FORMATS,
    FP8,
    NIBBLES,
    NVFP4,
    Int8,
    QuantizedLinear,
    join,
    quantize,
)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_rounded_stays(kind):
    torch.manual_seed(0)
    once = FORMATS[kind].from_weight(torch.randn(24, 64))
    again = FORMATS[kind].from_weight(once.dequantize(torch.float32))
    torch.testing.assert_close(
        again.dequantize(torch.float32), once.dequantize(torch.float32), rtol=1e-6, atol=1e-6
    )


def test_options_name_every_format():
    assert tuple(FORMATS) == WEIGHT_FORMATS
    assert WEIGHT_FORMATS_TEXT == "none, fp8, int8 or nvfp4"


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_per_weight_are_those_of_the_tensors(kind):
    layer = FORMATS[kind].from_weight(torch.randn(4, 4096).bfloat16())
    stored = [layer.weight, *(() if layer.blocks is None else (layer.blocks,))]
    taken = sum(tensor.numel() * tensor.element_size() for tensor in stored)
    assert taken / (4 * 4096) == layer.bytes_per_weight


def test_half_a_step_is_the_most_that_is_lost():
    torch.manual_seed(0)
    weight = torch.randn(24, 64)
    eight = Int8.from_weight(weight)
    assert ((eight.dequantize(torch.float32) - weight).abs() <= 0.5 * eight.scale * 1.001).all()
    # E4M3 has three bits of mantissa: half a step is a sixteenth, but for the smallest numbers.
    lost = (FP8.from_weight(weight).dequantize(torch.float32) - weight).abs()
    assert (lost <= weight.abs() / 16 + FP8.from_weight(weight).scale * 2**-10).all()
    # Half the widest gap of E2M1, 4 to 6, of what the largest in the block is rounded to, and the
    # scale's own rounding.
    tops = weight.unflatten(1, (-1, 16)).abs().amax(2, keepdim=True)
    off = (
        (NVFP4.from_weight(weight).dequantize(torch.float32) - weight).unflatten(1, (-1, 16)).abs()
    )
    assert (off <= tops * (1 / 6 + 1 / 15)).all()


def test_nvfp4_keeps_its_own_numbers_in_its_own_order():
    numbers = torch.tensor([*NIBBLES, *(-size for size in NIBBLES)])
    kept = NVFP4.from_weight(numbers[None].repeat(2, 1))
    assert torch.equal(kept.dequantize(torch.float32), numbers[None].repeat(2, 1))
    assert kept.weight.shape == (2, 8)
    assert kept.weight[0, 0] == 0x10  # 0 in the low half, 0.5 in the high one
    assert kept.blocks.dtype == E4M3
    with pytest.raises(ValueError, match="nvfp4: expected a multiple of 16 inputs, got 24"):
        NVFP4.from_weight(torch.randn(2, 24))


@pytest.mark.parametrize("kind", ["none", "fp8", "int8"])
def test_joined_products_say_what_they_said_apart(kind):
    torch.manual_seed(0)
    parts, x = (
        [FORMATS[kind].from_weight(torch.randn(rows, 32)) for rows in (8, 4)],
        torch.randn(3, 5, 32),
    )
    torch.testing.assert_close(join(parts)(x), torch.cat([part(x) for part in parts], dim=-1))


def test_fp8_products_round_each_token_by_itself():
    torch.manual_seed(0)
    product, x = FP8.from_weight(torch.randn(8, 32)), torch.randn(4, 32)
    scaled = x * torch.tensor([[1.0], [100.0], [1e-3], [0.0]])
    torch.testing.assert_close(
        product(scaled)[:3], torch.stack([product(row[None])[0] for row in scaled[:3]])
    )
    assert not product(scaled)[3].any()


def test_every_linear_part_becomes_a_product():
    layers = [torch.nn.Sequential(torch.nn.Linear(16, 16, bias=False), torch.nn.ReLU())]
    quantize(layers, "int8")
    assert isinstance(layers[0][0], Int8)
    with pytest.raises(ValueError, match="expected weights as trained, 0 is Int8 already"):
        quantize(layers, "fp8")
    plain = [torch.nn.Sequential(QuantizedLinear.from_weight(torch.randn(16, 16)))]
    quantize(plain, "fp8")
    assert isinstance(plain[0][0], FP8)
    with pytest.raises(
        ValueError, match=r"quantization: expected one of .*, got 'int2', did you mean 'int8'\?"
    ):
        quantize(layers, "int2")
