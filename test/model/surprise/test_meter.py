# SPDX-License-Identifier: Apache-2.0
"""A policy's predictions beside what comes: latents that were predicted against latents seen."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosmos3_ros.model.autoencoder.vae import video_from_frames
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.interface import NS, Observation, Prediction
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.model.surprise.comparison import ClipComparer
from cosmos3_ros.model.surprise.meter import SurpriseMeter, load_meter
from cosmos3_ros.model.surprise.network import SurpriseNetwork
from cosmos3_ros.model.surprise.reference import Reference, places_of, weights_mark
from cosmos3_ros.model.surprise.reference_file import write_reference


@pytest.fixture(scope="module")
def policy() -> Cosmos3Policy:
    return load_policy(
        tiny_checkpoint(), "droid_sim", num_steps=1, guidance=1.0, future_steps=1, horizon=8
    )


@pytest.fixture(scope="module")
def case(policy: Cosmos3Policy) -> tuple[Observation, Prediction, list[dict[str, np.ndarray]]]:
    """An observation, its answer, and noise that the cameras show from then on."""
    random = np.random.default_rng(0)
    panels = policy.embodiment.canvas.panels
    moments = [
        {
            panel.view: random.integers(0, 256, (panel.height, panel.width, 3), np.uint8)
            for panel in panels
        }
        for _ in range(9)
    ]
    observation = Observation(moments[0], policy.embodiment.neutral_state(), "wait", NS)
    return observation, policy.infer(observation), moments


def usual(policy: Cosmos3Policy) -> Reference:
    """A reference that nothing has taught anything yet."""
    channels, _, rows, columns = policy.latent_shape
    torch.manual_seed(0)
    return Reference(
        policy.embodiment.views,
        places_of(policy.embodiment.canvas, (rows, columns)),
        np.ones(channels, np.float32),
        (SurpriseNetwork(channels, (rows, columns)).eval(),),
        0.5,
        {},
    )


def test_latents_are_those_predicted_and_those_of_the_whole_clip(
    policy: Cosmos3Policy, case: Any
) -> None:
    observation, prediction, moments = case
    comparer = ClipComparer(policy, observation, prediction)
    assert comparer.add(moments[:1]) is None
    first, second = comparer.add(moments[1:5]), comparer.add(moments[5:9])
    assert first is not None
    assert second is not None
    assert (first.index, second.index) == (1, 2)
    frames = np.stack([policy.embodiment.compose(views) for views in moments])
    seen = policy.model.vae.encode(video_from_frames(frames))[0].numpy()
    predicted = policy.latents(prediction)[0].numpy()
    for comparison in (first, second):
        np.testing.assert_allclose(comparison.seen, seen[:, comparison.index], atol=1e-4)
        np.testing.assert_allclose(comparison.predicted, predicted[:, comparison.index])
        np.testing.assert_allclose(comparison.begin, seen[:, 0], atol=1e-4)


def test_what_was_played_is_what_is_predicted_for(policy: Cosmos3Policy, case: Any) -> None:
    observation, prediction, moments = case
    chunk = prediction.chunk
    as_planned = dataclasses.replace(chunk, values=chunk.values[:4])
    elsewhere = dataclasses.replace(chunk, values=chunk.values[:4] + np.float32(0.5))
    found = []
    for played in (None, as_planned, elsewhere):
        comparer = ClipComparer(policy, observation, prediction)
        comparer.add(moments[:1])
        found.append(comparer.add(moments[1:5], played).predicted)
    np.testing.assert_allclose(found[1], found[0], atol=1e-4)
    assert np.abs(found[2] - found[0]).max() > 1e-3


def test_the_policy_goes_on_as_without(policy: Cosmos3Policy, case: Any) -> None:
    observation, prediction, moments = case
    policy.reset()
    alone = [policy.infer(observation).chunk.values for _ in range(2)]
    policy.reset()
    beside = [policy.infer(observation).chunk.values]
    comparer = ClipComparer(policy, observation, prediction)
    comparer.add(moments[:1])
    comparer.add(moments[1:5], dataclasses.replace(prediction.chunk))
    beside.append(policy.infer(observation).chunk.values)
    assert np.array_equal(alone, beside)


def test_a_meter_says_how_surprising_and_where(policy: Cosmos3Policy, case: Any) -> None:
    observation, prediction, moments = case
    clip = SurpriseMeter(policy, usual(policy)).begin(observation, prediction)
    assert clip.add(moments[:1], NS) is None
    surprise = clip.add(moments[1:5], 2 * NS)
    assert surprise is not None
    assert surprise.stamp == 2 * NS
    assert tuple(surprise.values) == policy.embodiment.views
    assert surprise.grid.shape == policy.latent_shape[2:]
    assert surprise.value == max(surprise.values.values()) > surprise.grid.max() > 0


def test_a_new_episode_has_nothing_before_it(policy: Cosmos3Policy, case: Any) -> None:
    observation, prediction, moments = case
    meter = SurpriseMeter(policy, usual(policy))

    def values(stamp: int) -> list[float]:
        clip, found = meter.begin(observation, prediction), []
        clip.add(moments[:1], stamp)
        for number in (1, 5):
            surprise = clip.add(moments[number : number + 4], stamp + number * NS // 15)
            assert surprise is not None
            found.append(surprise.value)
        return found

    first = values(NS)
    assert values(NS + NS // 2)[0] != first[0]  # something came half a second before
    meter.forget()
    assert values(2 * NS) == first


def test_a_missing_or_another_reference_is_refused_in_one_line(
    policy: Cosmos3Policy, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"missing file .*surprise\.safetensors: make it with"):
        load_meter(policy)
    wrong = dataclasses.replace(usual(policy), views=("front",))
    with pytest.raises(ValueError, match=r"of views \['front'\].* the policy has \['wrist'"):
        SurpriseMeter(policy, wrong)
    file = tmp_path / "kept.safetensors"
    write_reference(file, usual(policy))
    with pytest.raises(ValueError, match="made with other weights: make it again"):
        load_meter(policy, file)
    mark = {"weights": weights_mark(policy.model.path)}
    write_reference(file, dataclasses.replace(usual(policy), about=mark))
    assert load_meter(policy, file).piece == 4
