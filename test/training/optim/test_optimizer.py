# SPDX-License-Identifier: Apache-2.0
"""The optimizer: Muon, the running average, and a resumed training."""

import pytest
import torch
from safetensors.torch import load_file

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


def make(**options):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    options = {"steps": 8, "warmup": 2, "rate": 0.1, **options}
    return model, Optimizer({"model": model}, OptimizerOptions(**options))


def leave_gradient(model, scale=1.0):
    (scale * model(torch.ones(1, 3)) ** 2).sum().backward()


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_dropped_and_counted(scale):
    """Weights, averages and moments are as without it, and it is no step."""
    (model, optimizer), (other, plain) = make(), make()
    for number in range(4):
        if number % 2:
            leave_gradient(model, scale)
            assert not torch.isfinite(optimizer.step())
        for each, steps in ((model, optimizer), (other, plain)):
            leave_gradient(each)
            steps.step()
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(optimizer.averaged()["model.weight"], plain.averaged()["model.weight"])
    assert (optimizer.step_number, optimizer.oddities()) == (4, {"skipped": 2})
    assert plain.oddities() == {}


def test_too_many_in_a_row_end_the_training_and_nothing_was_saved_since(tmp_path):
    model, optimizer = make(skip=3)
    optimizer.save_by(lambda: optimizer.save(tmp_path / "state.safetensors"), 0.0)
    for _ in range(2):
        optimizer.begin_round()
        leave_gradient(model)
        optimizer.step()
    kept = model.weight.clone()
    for number in range(4):
        optimizer.begin_round()
        leave_gradient(model, float("nan"))
        if number < 3:
            optimizer.step()
    with pytest.raises(ValueError, match=r"model: gradient not finite 4 times in a row after step"):
        optimizer.step()
    assert torch.equal(model.weight, kept)
    saved = load_file(tmp_path / "state.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in saved.values())
    assert not optimizer.ended


def test_a_training_whose_time_is_up_ends_only_with_a_finite_gradient():
    model, optimizer = make(seconds=100.0)
    leave_gradient(model)
    optimizer.step()
    leave_gradient(model, float("nan"))
    optimizer.step()
    optimizer.spent = 200.0
    assert optimizer.progress == 1
    assert not optimizer.ended
    leave_gradient(model)
    optimizer.step()
    assert optimizer.ended


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model, optimizer = make()
    optimizer.save(tmp_path / "state.safetensors")
    with torch.no_grad():
        model.weight[0, 0] = float("inf")
    with pytest.raises(ValueError, match=r"weights are not finite: weight/model\.weight"):
        optimizer.save(tmp_path / "state.safetensors")
    assert torch.isfinite(load_file(tmp_path / "state.safetensors")["weight/model.weight"]).all()
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_weight_that_learned_less_often_goes_on_exactly(tmp_path):
    """The moments' bias correction counts its own steps, as those of the questions in between."""

    def rounds(model, optimizer, numbers):
        for number in numbers:
            model.bias.requires_grad_(number % 3 == 0)
            leave_gradient(model)
            optimizer.step()

    model, optimizer = make()
    rounds(model, optimizer, range(4))
    optimizer.save(tmp_path / "state.safetensors")
    other, resumed = make()
    resumed.resume(tmp_path / "state.safetensors")
    rounds(model, optimizer, range(4, 8))
    rounds(other, resumed, range(4, 8))
    assert torch.equal(model.bias, other.bias)


def test_a_state_that_is_damaged_is_named(tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"\x10" + b"\0" * 40)
    with pytest.raises(ValueError, match=r"state\.safetensors: not readable as a saved training"):
        make()[1].resume(tmp_path / "state.safetensors")


def test_a_state_that_is_saved_again_is_the_same(tmp_path):
    """Also its random numbers, whatever was drawn since it was read."""
    model, optimizer = make()
    leave_gradient(model)
    optimizer.step()
    optimizer.save(tmp_path / "state.safetensors")
    _, again = make()
    again.resume(tmp_path / "state.safetensors")
    torch.rand(3)
    again.save(tmp_path / "again.safetensors")
    first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("state", "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)
