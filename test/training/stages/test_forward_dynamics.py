# SPDX-License-Identifier: Apache-2.0
"""Futures predicted for many windows at once are those of the policy."""

import numpy as np
import pytest
import torch

from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.training.data.episodes import window_rows
from cosmos3_ros.training.stages.forward_dynamics import ForwardDynamics


@pytest.mark.parametrize("steps", [0, 1])
def test_what_is_imagined_for_many_at_once_is_what_the_policy_imagines(
    tiny_small, steps, monkeypatch, episode
):
    """All rows decided, begun without noise; the prompts are of different lengths."""
    policy = load_policy(tiny_small, guidance=1.0, deterministic=True, num_steps=steps or 4)
    looks = Cosmos3Policy(policy.model, guidance=1.0, future_steps=steps)
    shape, embodiment, made = (
        policy.latent_shape,
        policy.embodiment,
        [episode(24, seed) for seed in range(3)],
    )
    ways = ["lift it", "put the small red cube down again, please", "lift it"]
    begins = [begin_of(each, way) for each, way in zip(made, ways, strict=True)]
    seen = torch.cat([policy.encode(policy.compose(each)) for each in begins])
    latents = torch.cat([seen, torch.full((3, shape[0], shape[1] - 1, *shape[2:]), 9.0)], dim=2)
    rows = torch.from_numpy(np.stack([window_rows(each, embodiment, 0) for each in made]))
    found = ForwardDynamics(looks)(latents, rows, ways)
    seed, noise, row_noise = policy.draw_noise()
    monkeypatch.setattr(policy, "draw_noise", lambda: (seed, torch.zeros_like(noise), row_noise))
    for number, (each, seen_first) in enumerate(zip(made, begins, strict=True)):
        chunk = ActionChunk(
            each.actions[:16], embodiment.action_names, 0, embodiment.step, embodiment.discrete
        )
        expected = policy.infer(seen_first, committed=chunk).latents
        assert torch.allclose(found[number : number + 1], expected, atol=1e-3), number
    assert torch.equal(found[:, :, :1], seen)


def begin_of(made, instruction):
    return Observation(
        {view: frames[0] for view, frames in made.views.items()}, made.states[0], instruction, 0
    )
