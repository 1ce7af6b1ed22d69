# SPDX-License-Identifier: Apache-2.0
"""The flow-matching loss: noise levels, what is known, what was not recorded."""

import dataclasses

import numpy as np
import pytest
import torch

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.data.ground_truth import SIMULATED
from cosmos3_ros.training.options import GroundTruthOptions, ObjectiveOptions
from cosmos3_ros.training.stages.flow_matching_loss import (
    INVERSE,
    FlowMatchingLoss,
    draw_modes,
    noise_levels,
    noisy_parts,
    video_levels,
)
from cosmos3_ros.training.stages.latent_encoder import Encoder
from cosmos3_ros.training.stages.window_dataset import WindowDataset

DROID_SIM = EMBODIMENTS["droid_sim"]


def test_noise_levels_cover_everything_and_lean_towards_noise():
    torch.manual_seed(0)
    plain, pushed = (noise_levels(20_000, shift, torch.device("cpu")) for shift in (1.0, 5.0))
    assert 0 <= plain.min() < 0.01
    assert 0.99 < pushed.max() <= 1
    assert plain.mean() < pushed.mean() - 0.2


def test_what_is_known_is_never_noisy():
    torch.manual_seed(0)
    options = ObjectiveOptions(prefix=0.5, longest=4)
    modes = draw_modes(3000, options, torch.device("cpu"))
    frames, rows = noisy_parts(modes, 5, 17, 1, options)
    assert not frames[:, 0].any()
    assert not rows[:, 0].any()
    assert not frames[modes == INVERSE].any()
    assert rows[modes == INVERSE][:, 1:].all()
    decided = (~rows[modes == 0]).sum(1) - 1
    assert decided.max() == 4
    assert 0.4 < (decided > 0).float().mean() < 0.6
    assert np.allclose(
        [(modes == mode).float().mean() for mode in range(3)], options.modes, atol=0.03
    )


def test_whole_numbers_are_shares_as_well():
    """As a recipe has them: modes: [1, 0, 0]."""
    options = ObjectiveOptions(modes=(1, 0, 0))
    assert (draw_modes(50, options, torch.device("cpu")) == 0).all()


def test_what_was_not_seen_is_all_noise(tiny_small, episode):
    model = load_policy(tiny_small).model
    whole = episode(24, seed=1)
    looks = np.array([0, 2, 9])
    glimpses = dataclasses.replace(
        whole, views={view: frames[looks] for view, frames in whole.views.items()}, looks=looks
    )
    encoder = Encoder(model.vae, DROID_SIM)
    windows = WindowDataset(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([make_clip(glimpses, DROID_SIM)]))
    only = windows.draw(4, 0.0)
    windows.add(encoder.encode([make_clip(whole, DROID_SIM, stride=8)]))
    batch = windows.draw(7, 0.0)
    assert not only.whole.any()
    assert batch.whole.tolist() == [True] * 3 + [False] * 4
    assert batch.latents.shape[2] == windows.shape[0] == 5
    assert batch.latents[~batch.whole][:, :, :1].abs().sum() > 0
    objective = FlowMatchingLoss(
        model.transformer, DROID_SIM, ObjectiveOptions(modes=(1.0, 0.0, 0.0), prefix=0.0)
    )
    text = objective.pad_prompts([[1], [2, 3]], windows.shape, 17)
    told = []
    for later in (0.0, 100.0):  # what is said to come later must not matter
        only.latents[:, :, 1:] = later
        torch.manual_seed(0)
        told.append(objective(only, text))
    assert float(told[0]["vision"]) == 0
    assert float(told[0]["action"]) == float(told[1]["action"]) > 0


def test_video_beside_rows_with_a_level_of_their_own_is_nearer_to_noise():
    torch.manual_seed(0)
    level, apart = torch.rand(20_000), torch.rand(20_000) < 0.5
    video = video_levels(level, apart)
    assert torch.equal(video[~apart], level[~apart])
    assert (video >= level).all()
    assert video.max() <= 1
    u, v = torch.rand(200_000), torch.rand(200_000)
    expected = torch.maximum(u, v ** (1 / 7)).mean()
    assert abs(video[apart].mean() - expected) < 0.005


@pytest.fixture(scope="module")
def measured(tiny_small, episode):
    """Losses of one batch under some options, with changes of the batch, all else the same."""
    model = load_policy(tiny_small).model
    encoder = Encoder(model.vae, DROID_SIM)
    windows = WindowDataset(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([make_clip(episode(24, seed=1), DROID_SIM, stride=4)]))
    batch = windows.draw(4, 0.0)

    def function(change=None, truth=SIMULATED, **options):
        changed = dataclasses.replace(batch, latents=batch.latents.clone(), rows=batch.rows.clone())
        if change is not None:
            change(changed)
        torch.manual_seed(0)
        settings = ObjectiveOptions(modes=(1.0, 0.0, 0.0), prefix=0.0, **options)
        objective = FlowMatchingLoss(model.transformer, DROID_SIM, settings, truth)
        text = objective.pad_prompts([[1], [2, 3]], windows.shape, 17)
        torch.manual_seed(1)
        with torch.no_grad():
            return {name: float(loss) for name, loss in objective(changed, text).items()}

    return function


def spoil_future(batch):
    batch.latents[:, :, 1:] = 100.0


def spoil_rows(batch):
    batch.rows[:, 1:] = 100.0


def test_without_the_frames_to_come_they_do_not_matter(measured):
    plain, blind = measured(), measured(no_future=1.0)
    assert measured(spoil_future)["action"] != plain["action"]
    assert measured(spoil_future, no_future=1.0)["action"] == blind["action"] > 0
    assert blind["vision"] == 0 < plain["vision"]


def test_windows_without_the_frames_to_come_teach_the_same_of_the_rows(measured, monkeypatch):
    """A shorter sequence, and the same numbers as where nothing attends to what is left out."""
    for name in ("randn_like", "rand"):
        monkeypatch.setattr(torch, name, lambda x, **_: torch.full(np.shape(x) or (x,), 0.3))

    def shorten(batch):
        object.__setattr__(batch, "latents", batch.latents[:, :, :1])
        object.__setattr__(batch, "whole", torch.zeros_like(batch.whole))

    blind, short = measured(no_future=1.0), measured(shorten)
    assert short["action"] == pytest.approx(blind["action"], rel=1e-4)
    assert short["grounding"] == pytest.approx(blind["grounding"], rel=1e-4)
    assert short["vision"] == 0 < short["action"]


def test_hidden_rows_do_not_matter_for_the_video(measured):
    assert measured(spoil_rows)["vision"] != measured()["vision"]
    hidden = measured(hidden_rows=True)
    assert measured(spoil_rows, hidden_rows=True)["vision"] == hidden["vision"] > 0
    assert hidden["action"] > 0


def test_rows_get_a_level_of_their_own(measured):
    """With the same noise, the video is another and the rows are the same."""
    plain, apart = measured(), measured(row_levels=1.0)
    assert plain["vision"] != apart["vision"]
    assert plain["action"] != apart["action"]


def test_options_say_what_a_checkpoint_was_trained_for():
    for name in ("row_levels", "no_future", "dropout", "prefix"):
        with pytest.raises(ValueError, match=f"objective.{name}: expected a share from 0 to 1"):
            ObjectiveOptions(**{name: 1.5})
    assert ObjectiveOptions().sampling.names() == []
    options = ObjectiveOptions(row_levels=0.5, hidden_rows=True, no_future=0.1)
    assert options.sampling.names() == ["row_levels", "hidden_rows", "no_future"]


def test_without_a_word_of_where_things_are_nothing_is_asked_of_them(measured):
    """A dataset without ground truth trains, and the other losses are the same."""
    with_it, without = measured(), measured(truth=None)
    assert with_it["grounding"] > 0
    assert "grounding" not in without
    assert {name: with_it[name] for name in ("vision", "action")} == {
        name: without[name] for name in ("vision", "action")
    }
    with pytest.raises(ValueError, match=r"objective.grounding: expected 0, the data do not say"):
        measured(truth=None, grounding=0.5)


def test_what_is_asked_for_is_the_sources_own(measured):
    """Another column, center and spread of the same truth, which is 0.3 everywhere."""
    far, near, scaled = (
        measured(truth=GroundTruthOptions("place", (3,), (), (center,), (spread,)))["grounding"]
        for center, spread in ((-9.7, 0.1), (0.3, 0.1), (-9.7, 10.0))
    )
    assert near < 10 < far
    assert far > 5000
    assert scaled < 10
    around = GroundTruthOptions("place", (), (3, 4), (0.3, 0.3), (0.1, 0.1))
    assert 0 < measured(truth=around)["grounding"] < 10


def test_a_state_row_wider_than_the_action_rows_changes_no_loss_of_them(tiny_small, episode):
    """Beyond their own columns action rows are zeros, noisy or not, and nothing is taught there."""
    model = load_policy(tiny_small).model
    arm = DROID_SIM.action[:4]
    body = dataclasses.replace(
        DROID_SIM, action=arm, relative=False, normalization=type(DROID_SIM.normalization)()
    )
    whole = episode(24, seed=1)
    narrow = dataclasses.replace(whole, actions=whole.actions[:, :4])
    clip = make_clip(narrow, body, stride=8)
    assert clip.rows.shape[1:] == (17, 8)
    assert not clip.rows[:, 1:, 4:].any()
    encoder = Encoder(model.vae, body)
    windows = WindowDataset(encoder.shape, torch.device("cpu"))
    windows.add(encoder.encode([clip]))
    batch = windows.draw(3, 0.0)
    objective = FlowMatchingLoss(
        model.transformer, body, ObjectiveOptions(modes=(1.0, 0.0, 0.0), prefix=0.0)
    )
    given = []
    velocity = model.transformer.velocity
    model.transformer.velocity = lambda *parts, **more: (
        given.append(parts) or velocity(*parts, **more)
    )
    losses = objective(batch, objective.pad_prompts([[1], [2, 3]], windows.shape, 17))
    actions = given[0][5]
    assert torch.equal(actions[:, 0, :8], batch.rows[:, 0])
    assert actions[:, 1:, :4].abs().min() > 0
    assert not actions[:, 1:, 4:].any()
    assert 0 < float(losses["action"]) < 100
