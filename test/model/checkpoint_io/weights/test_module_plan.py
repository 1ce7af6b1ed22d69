# SPDX-License-Identifier: Apache-2.0
"""Filling a module: what no parameter needs is refused, and so are numbers that are not finite."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cosmos3_ros.model.checkpoint_io.safetensors_io import read_headers
from cosmos3_ros.model.checkpoint_io.weights.module_plan import ModulePlan

CPU = torch.device("cpu")


def plan(folder, tensors, skip=()):
    save_file(tensors, folder / "a.safetensors")
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(4, 4, bias=False))
    return ModulePlan(folder, module, read_headers(folder), {"0.weight": "q.weight"}, skip)


def scaled(name="q"):
    return {
        f"{name}.weight": torch.ones(4, 4, dtype=torch.int8),
        f"{name}.weight_scale": torch.full((4, 1), 0.5),
        f"{name}.input_scale": torch.ones(()),
    }


def test_a_scaled_weight_is_read_with_its_scale(tmp_path):
    made = plan(tmp_path, {**scaled(), **scaled("head")}, skip={"head.weight"})
    made.fill(CPU, torch.bfloat16)
    assert torch.equal(made.module[0].weight, torch.full((4, 4), 0.5, dtype=torch.bfloat16))
    assert not made.module.training


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"q.weight": torch.ones(4, 4), "q.input_scale": torch.ones(())},
            r"1 unexpected tensor\(s\): q.input_scale \(a scale without a weight that is rounded\)",
        ),
        (
            {"q.weight": torch.ones(4, 4), "k.weight_scale": torch.ones(4, 1)},
            r"1 unexpected tensor\(s\): k.weight_scale \(a scale without a weight",
        ),
        (
            {"q.weight": torch.ones(4, 4), "q.lora_A.weight": torch.ones(2, 4)},
            "a LoRA adapter, which has to be merged into the weights first",
        ),
        (
            {"q.weight_packed": torch.ones(4, 2, dtype=torch.uint8)},
            r"1 missing tensor\(s\): q.weight \(packed weights of compressed-tensors, which",
        ),
        (
            {"q.qweight": torch.ones(1, 4, dtype=torch.int32)},
            r"1 missing tensor\(s\): q.weight \(GPTQ or AWQ weights, which are not read here\)",
        ),
        ({"q.weight": torch.ones(4, 3)}, r"q.weight has shape \[4, 3\], expected \[4, 4\]"),
    ],
)
def test_headers_tell_what_is_refused(tmp_path, tensors, message):
    with pytest.raises(ValueError, match=message):
        plan(tmp_path, tensors).check()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_numbers_that_are_not_finite_are_noticed(tmp_path, number, dtype):
    weight = torch.ones(4, 4, dtype=dtype)
    weight[2, 1] = number
    made = plan(tmp_path, {"q.weight": weight})
    made.check()  # by headers nothing is known of it
    with pytest.raises(ValueError, match=r"q.weight holds numbers that are not finite"):
        made.fill(CPU, torch.float32)


def test_a_scale_that_is_not_finite_is_noticed(tmp_path):
    tensors = scaled()
    tensors["q.weight_scale"][1] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        plan(tmp_path, tensors).fill(CPU, torch.float32)
