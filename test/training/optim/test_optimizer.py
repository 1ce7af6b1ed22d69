# SPDX-License-Identifier: Apache-2.0
"""The optimizer: Muon, the running average, and a resumed training."""

import pytest
import torch

from cosmos3_ros.training.optim.muon import Muon
from cosmos3_ros.training.optim.optimizer import Optimizer, average_exponent
from cosmos3_ros.training.options import (
    OptimizerOptions,
)


def test_muon_steps_as_torch_does():
    torch.manual_seed(0)
    shapes = [(24, 8), (8, 24), (16, 16), (24, 8)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    optimizers = (
        Muon(ours, 0.02, weight_decay=0.1),
        torch.optim.Muon(theirs, 0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(ours, theirs, strict=True):
        assert (one - 1).abs().max() > 0.01
        assert torch.allclose(one, other, atol=2e-3)  # bfloat16 inside
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.ones(3))], 0.02)


def test_average_follows_the_paper():
    assert average_exponent(0.1) == pytest.approx(6.9372, abs=1e-3)  # beta at step 100: 0.924
    assert (1 - 1 / 101) ** (average_exponent(0.1) + 1) == pytest.approx(0.924, abs=1e-3)


def test_a_resumed_training_goes_on_exactly(tmp_path):
    def steps(model, optimizer, count):
        for number in range(count):
            (model(torch.full((1, 3), float(number))) ** 2).sum().backward()
            optimizer.step()

    def make():
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        return model, Optimizer({"model": model}, OptimizerOptions(steps=8, warmup=2))

    model, optimizer = make()
    steps(model, optimizer, 4)
    optimizer.save(tmp_path / "state.safetensors")
    steps(model, optimizer, 2)
    other, resumed = make()
    resumed.resume(tmp_path / "state.safetensors")
    steps(other, resumed, 2)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(optimizer.averaged()["model.weight"], resumed.averaged()["model.weight"])
    with pytest.raises(ValueError, match="belongs to another training"):
        Optimizer({"other": torch.nn.Linear(3, 2)}, OptimizerOptions()).resume(
            tmp_path / "state.safetensors"
        )
