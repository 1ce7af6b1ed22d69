# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint was not trained for is warned about, what cannot be is refused."""

import dataclasses
import types
import warnings

import pytest
import torch

from cosmos3_ros.model.checkpoint_io.trained_sampling import TrainedSampling
from cosmos3_ros.model.diffusion.sampler import fixed_schedule, flow_schedule
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_options import PolicyOptions
from cosmos3_ros.model.shortcuts import check_shortcuts

FOUR = flow_schedule(4)


def fake(trained: TrainedSampling = TrainedSampling(), device="cpu", **more):  # noqa: B008 frozen
    """As much of a model as is asked about."""
    known = {"graphs": False, "team": None, "device": torch.device(device)} | more
    return types.SimpleNamespace(policy_config={"sampling": trained.names()}, **known)


def said(model, schedule=FOUR, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_shortcuts(model, PolicyOptions(**options).in_force(), schedule)
    return [str(one.message) for one in caught]


def test_what_a_checkpoint_was_not_trained_for():
    plain = fake()
    assert said(plain) == said(plain, preset="exact") == said(plain, preset="two_steps") == []
    assert said(plain, preset="fast") == [], "the last step sees both at one level"
    (text,) = said(plain, preset="faster")
    assert text.startswith("full_steps [0]: the checkpoint was not trained for action rows at a")
    assert "copparihollmann/action-aware-refresh" in text
    assert [one.split(":")[0] for one in said(plain, preset="fastest")] == [
        "full_steps [0]",
        "future_tokens false",
    ]
    for trained in (TrainedSampling(row_levels=True), TrainedSampling(hidden_rows=True)):
        assert said(fake(trained), preset="faster") == []
        assert len(said(fake(trained), preset="fastest")) == 1
    assert said(fake(TrainedSampling(True, False, True)), preset="fastest") == []


def test_a_gpu_without_cuda_graphs():
    ready = TrainedSampling(row_levels=True)
    (text,) = said(fake(ready, "cuda"), preset="faster")
    assert "bound by the host" in text
    assert said(fake(ready, "cuda", graphs=True), preset="faster") == []
    assert said(fake(ready, "cuda"), full_steps=(0, 1, 2, 3)) == []


def test_split_layers_and_students_are_refused():
    split = fake(team=types.SimpleNamespace(tensor=2))
    said(split)
    for options in ({"full_steps": (0, 3)}, {"future_tokens": False}):
        with pytest.raises(ValueError, match=r"where tensor_parallel is 2, got (full|future)"):
            said(split, **options)
    said(fake(team=types.SimpleNamespace(tensor=1)), full_steps=(0, 3))
    with pytest.raises(ValueError, match=r"expected none for a few-step student .*'sde'.*\[0\]"):
        said(fake(), fixed_schedule([1.0, 0.5]), full_steps=(0,))


def test_a_policy_asks(model):
    with pytest.warns(UserWarning, match="not trained for action rows"):
        Cosmos3Policy(model, preset="faster")
    wrong = dataclasses.replace(model, policy_config={**model.policy_config, "sampling": ["x"]})
    with pytest.raises(ValueError, match=r"policy\.sampling"):
        Cosmos3Policy(wrong)
