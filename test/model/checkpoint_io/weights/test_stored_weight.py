# SPDX-License-Identifier: Apache-2.0
"""Weights with scales: each layout gives the numbers it stands for, or is refused by name."""

import pytest
import torch
from safetensors.torch import save_file

from cosmos3_ros.model.checkpoint_io.safetensors_io import opened, read_headers
from cosmos3_ros.model.checkpoint_io.weights.stored_weight import explain, layout_of, owner
from cosmos3_ros.model.runtime.quantize import NVFP4

NAME = "layer.to_q.weight"


def stored(folder, tensors):
    """Headers of these tensors, and what reads one of them."""
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in tensors.items()},
        folder / "a.safetensors",
    )

    def get(name):
        with opened(folder / "a.safetensors") as content:
            return content.get_tensor(name)

    return read_headers(folder), get


def expected(codes, scale, block):
    """By loops over blocks, as the formats are described."""
    weight = codes.float()
    for row in range(weight.shape[0]):
        for column in range(weight.shape[1]):
            weight[row, column] *= scale[row // block[0], column // block[1]]
    return weight


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8])
@pytest.mark.parametrize(
    ("end", "shape", "block"),
    [
        ("_scale", (), (24, 40)),
        ("_scale", (1,), (24, 40)),
        ("_scale", (24,), (1, 40)),
        ("_scale", (24, 1), (1, 40)),
        ("_scale", (1, 40), (24, 1)),
        ("_scale", (24, 5), (1, 8)),
        ("_scale_inv", (2, 3), (16, 16)),  # the last blocks are cut off
        ("_scale_inv", (3, 10), (8, 4)),
    ],
)
def test_scales_per_tensor_row_and_block(tmp_path, dtype, end, shape, block):
    torch.manual_seed(0)
    codes = (torch.randn(24, 40) * 20).to(dtype)
    scale = torch.rand(shape) + 0.5
    tensors, get = stored(tmp_path, {NAME: codes, NAME + end: scale})
    grid = scale.reshape(-1, 1) if scale.ndim < 2 else scale
    read = layout_of(NAME, tensors).read(get)
    assert torch.equal(read, expected(codes, grid, block))


def test_modelopt_nvfp4_is_unpacked(tmp_path):
    torch.manual_seed(0)
    ours = NVFP4.from_weight(torch.randn(8, 64))
    parts = {NAME: ours.weight.data, NAME + "_scale": ours.blocks, NAME + "_scale_2": ours.scale[0]}
    tensors, get = stored(tmp_path, {**parts, "layer.to_q.input_scale": torch.ones(())})
    layout = layout_of(NAME, tensors)
    assert layout.shape == (8, 64)
    table = [0, 0.5, 1, 1.5, 2, 3, 4, 6]  # E2M1, the ninth to sixteenth negative
    low_first = torch.stack([ours.weight & 15, ours.weight >> 4], 2).reshape(8, 64)
    numbers = torch.tensor([*table, *(-number for number in table)])[low_first.long()]
    scales = ours.blocks.float().repeat_interleave(16, 1) * float(ours.scale[0])
    assert torch.allclose(layout.read(get), numbers * scales, rtol=1e-6, atol=0)


ROWS = torch.ones(24, 1)
INT8, FP8 = torch.ones(24, 40, dtype=torch.int8), torch.ones(24, 40).to(torch.float8_e4m3fn)
BYTES = torch.ones(24, 40, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({NAME: INT8}, "is in INT8, expected its scale layer.to_q.weight_scale, got none"),
        ({NAME: BYTES, NAME + "_scale": ROWS}, "is in U8, expected one of F64, .* or ModelOpt's"),
        ({NAME: torch.ones(24, 40, dtype=torch.int32)}, "is in I32, expected one of"),
        ({NAME: torch.ones(24, 40, dtype=torch.bool)}, "is in BOOL, expected one of"),
        (
            {NAME: torch.ones(24, 40), NAME + "_scale": ROWS},
            "is in F32, expected no scale of it, got layer.to_q.weight_scale",
        ),
        (
            {NAME: FP8, NAME + "_scale": ROWS, NAME + "_scale_inv": ROWS},
            "got layer.to_q.weight_scale and layer.to_q.weight_scale_inv",
        ),
        ({NAME: FP8, NAME + "_scale": torch.ones(40)}, r"_scale has shape \[40\], expected"),
        ({NAME: FP8, NAME + "_scale": torch.ones(7, 1)}, r"_scale has shape \[7, 1\], expected"),
        ({NAME: FP8, NAME + "_scale": torch.ones(3, 3, 1)}, r"has shape \[3, 3, 1\], expected"),
        ({NAME: FP8[0], NAME + "_scale": torch.ones(())}, r"of layer.to_q.weight \[40\]"),
        (
            {NAME: FP8, NAME + "_scale": ROWS.to(torch.int8)},
            "weight_scale is in I8, expected one of BF16",
        ),
        (
            {NAME: INT8, NAME + "_scale": ROWS, "layer.to_q.weight_zero_point": ROWS},
            "is of weights with a zero point, which are not read here",
        ),
        ({NAME: INT8, "layer.to_q.SCB": ROWS}, "INT8 weights of bitsandbytes"),
        ({NAME: BYTES, "layer.to_q.weight.absmax": ROWS}, "4-bit weights of bitsandbytes"),
        (
            {NAME: BYTES, NAME + "_scale": ROWS, NAME + "_scale_2": torch.ones(())},
            r"as in NVFP4, expected .* in F8_E4M3 \[24, 5\], got F32 \[24, 1\]",
        ),
        (
            {
                NAME: BYTES,
                NAME + "_scale": torch.ones(24, 5).to(torch.float8_e4m3fn),
                NAME + "_scale_2": ROWS,
            },
            "_scale_2: expected one number, got F32",
        ),
    ],
)
def test_others_are_refused_by_name(tmp_path, tensors, message):
    headers, _ = stored(tmp_path, tensors)
    with pytest.raises(ValueError, match=message):
        layout_of(NAME, headers)


def test_whose_a_scale_is():
    assert owner("a.weight_scale") == owner("a.weight_scale_2") == owner("a.input_scale")
    assert owner("a.weight_scale_inv") == "a.weight"
    assert owner("a.weight") == ""
    assert "LoRA" in explain("layers.0.lora_A.weight")
    assert explain("a.weight") == ""
