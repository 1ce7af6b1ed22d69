# SPDX-License-Identifier: Apache-2.0
"""The flow-matching loss: noise levels, what is known, what was not recorded."""

import dataclasses

import numpy as np
import torch

from cosmos3_ros.model.embodiment import DROID_SIM
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.options import (
    ObjectiveOptions,
)
from cosmos3_ros.training.stages.flow_matching_loss import (
    INVERSE,
    FlowMatchingLoss,
    draw_modes,
    noise_levels,
    noisy_parts,
)
from cosmos3_ros.training.stages.latent_encoder import Encoder
from cosmos3_ros.training.stages.window_dataset import WindowDataset


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
