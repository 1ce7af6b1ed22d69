# SPDX-License-Identifier: Apache-2.0
"""One copy of each checkpoint, loaded as its options say, whoever asks."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model import registry
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.model_params import (
    MediaReasonerParams,
    PolicyModelParams,
    ReasonerModelParams,
)
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.serve.cli import add_reasoner_options, reasoner_params


def read(*words: str, compiled: bool = True) -> MediaReasonerParams:
    parser = argparse.ArgumentParser()
    add_reasoner_options(parser, max_tokens=7, compiled=compiled)
    return reasoner_params(parser.parse_args(words), compiled)


def test_a_reasoner_alone_loads_what_a_reasoner_needs() -> None:
    params = ReasonerModelParams(checkpoint=str(tiny_checkpoint()))
    alone, both = registry.Models(policy=False), registry.Models()
    assert not hasattr(alone.reasoner(params).transformer, "generator")
    assert hasattr(both.reasoner(params).transformer, "generator")
    one, two = alone.reasoner(params), alone.reasoner(params)
    assert one.transformer is two.transformer, "asked twice, loaded once"


@pytest.mark.parametrize("compiled", [True, False])
def test_on_a_gpu_the_fast_path_is_taken_unless_told_otherwise(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    usual = read(compiled=compiled)
    assert (usual.compile, usual.cuda_graphs, usual.max_tokens) == (compiled, True, 7)
    plain = read("--no-compile", "--no-cuda-graphs", compiled=compiled)
    assert (plain.compile, plain.cuda_graphs) == (False, False)
    assert read("--compile", compiled=compiled).compile
    slow = read("--device", "cpu", compiled=compiled)
    assert (slow.compile, slow.cuda_graphs) == (False, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--video-pruning-rate", "1"), "video_pruning_rate: expected a share in [0, 1), got 1.0"),
        (("--video-pruning-rate", "-0.1"), "video_pruning_rate: expected a share in [0, 1)"),
        (("--max-tokens", "0"), "max_tokens: expected at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(
    words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 its words are compared
        read(*words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "text_weights", "said"),
    [
        ("none", "none", ""),
        ("int8", "int8", ""),
        ("fp8", "none", "weights 'fp8' on a CPU"),
        ("nvfp4", "fp8", "weights 'nvfp4' and text_weights 'fp8' on a CPU"),
    ],
)
def test_formats_made_for_gpus_are_warned_of_on_a_cpu(
    weights: str, text_weights: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    chosen: dict[str, Any] = {"weights": weights, "text_weights": text_weights, "device": "cpu"}
    models = registry.Models()
    models.policy(PolicyModelParams(checkpoint=str(tiny_checkpoint()), **chosen))
    messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == bool(said)
    assert said in "".join(messages)
    models.reasoner(ReasonerModelParams(checkpoint=str(tiny_checkpoint()), **chosen))
    assert len(caplog.records) == len(messages), "once, for all who share it"


@pytest.mark.parametrize("best_of", [1, 2])
def test_the_dynamics_of_a_policy_are_its_weights_without_guidance(
    smallest: Path, best_of: int
) -> None:
    """As `cosmos3 dynamics inverse` reads a video with the same seed, whatever the policy does."""
    models = registry.Models(reasoner=False)
    given = PolicyModelParams(checkpoint=str(smallest), device="cpu", seed=3, best_of=best_of)
    dynamics = models.dynamics(models.policy(given))
    alone = Dynamics(load_policy(smallest, guidance=1.0, num_steps=4, seed=3))
    body = alone.embodiment
    size = (body.horizon + 1, *body.canvas.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    observation = Observation({}, body.neutral_state(), "lift the cube", 7)
    found = dynamics.infer_actions(frames, observation)
    assert np.array_equal(found.values, alone.infer_actions(frames, observation).values)


def test_of_a_policy_from_elsewhere_there_are_no_weights_to_ask() -> None:
    stranger: Any = SimpleNamespace()
    with pytest.raises(ValueError, match="recent_seconds: expected a policy of these weights"):
        registry.Models().dynamics(stranger)
