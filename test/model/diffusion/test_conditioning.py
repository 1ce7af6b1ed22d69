# SPDX-License-Identifier: Apache-2.0
"""Soft committed rows guide the new chunk towards themselves, the first ones most."""

import dataclasses

import numpy as np
import pytest
import torch

from cosmos3_ros.model.diffusion.conditioning import (
    ActionInput,
    DenoiserInput,
    RtcTarget,
    build_input,
)
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.policy import Cosmos3Policy

HARD, SOFT = 3, 6


def observation(policy: Cosmos3Policy) -> Observation:
    pictures = {view: np.full((90, 160, 3), 128, np.uint8) for view in policy.embodiment.views}
    state = np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0], np.float32)
    return Observation(pictures, state, "reach", 10**9)


def policy(model: Model, **options: object) -> Cosmos3Policy:
    return Cosmos3Policy(model, num_steps=4, guidance=1.0, deterministic=True, **options)


def test_a_guided_velocity_leads_to_a_guess_nearer_to_the_target() -> None:
    rows, weights = torch.ones(1, 3, 2), torch.tensor([1.0, 0.5, 0.0])
    actions, velocity = torch.randn(1, 3, 2), torch.randn(1, 3, 2)
    for time in (999.0, 900.0, 500.0, 50.0):
        sigma = time / 1000
        before, after = (
            actions - sigma * v
            for v in (velocity, RtcTarget(rows, weights).guide(actions, velocity, time))
        )
        left = (after - rows) / (before - rows)
        strength = min(1.0, ((1 - sigma) ** 2 + sigma**2) / (1 - sigma))
        expected = 1 - strength * weights[:, None].expand(3, 2)
        torch.testing.assert_close(left[0], expected, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def chunks(model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What was committed, the answer without soft rows in it, and the answer with them."""
    free = policy(model)
    seen = observation(free)
    old = free.infer(seen).chunk
    target = dataclasses.replace(
        old, values=(np.tile(seen.state, (HARD + SOFT, 1)) + 0.1).astype(np.float32)
    )
    frozen = dataclasses.replace(target, values=target.values[:HARD])
    hard = free.infer(seen, frozen).chunk.values
    soft = policy(model, soft_rows=SOFT).infer(seen, target).chunk.values
    return target.values, hard, soft


def test_the_frozen_rows_come_back_unchanged(chunks: tuple[np.ndarray, ...]) -> None:
    target, hard, soft = chunks
    assert np.array_equal(hard[:HARD], target[:HARD])
    assert np.array_equal(soft[:HARD], target[:HARD])


def test_the_soft_rows_are_drawn_towards_the_target_less_and_less(
    chunks: tuple[np.ndarray, ...],
) -> None:
    target, hard, soft = chunks
    rows = slice(HARD, HARD + SOFT)
    far = np.abs(hard[rows] - target[rows]).mean(axis=1)
    near = np.abs(soft[rows] - target[rows]).mean(axis=1)
    assert (near[:4] < 0.9 * far[:4]).all()
    share = near / far
    assert share[0] < 0.5 * share[-1]


def test_all_committed_rows_may_be_soft(model: Model) -> None:
    made = policy(model, soft_rows=50)
    seen = observation(made)
    old = made.infer(seen).chunk
    new = made.infer(seen, old).chunk
    assert np.isfinite(new.values).all()


def test_a_negative_number_of_soft_rows_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="soft_rows: expected 0 or more, got -1"):
        policy(model, soft_rows=-1)


def test_what_is_known_takes_the_place_of_noise() -> None:
    noise, seen, row_noise = torch.randn(1, 2, 3, 1, 1), torch.ones(1, 2, 1, 1, 1), torch.ones(4, 3)
    actions = ActionInput(row_noise, 2, 5, {1: np.array([7, 8], np.float32)})
    inputs = build_input(noise, seen, (0,), 15.0, actions)
    assert inputs.latents[:, :, 0].tolist() == seen[:, :, 0].tolist()
    assert torch.equal(inputs.latents[:, :, 1:], noise[:, :, 1:])
    assert inputs.clean_frames.tolist() == [True, False, False]
    assert inputs.actions is not None
    assert inputs.actions[0].tolist() == [[1, 1, 0], [7, 8, 0], [1, 1, 0], [1, 1, 0]]
    assert inputs.clean_rows is not None
    assert inputs.clean_rows.tolist() == [False, True, False, False]
    assert torch.equal(row_noise, torch.ones(4, 3)), "the noise is not changed"


def test_inputs_of_one_shape_join_to_a_batch() -> None:
    each = [
        build_input(torch.randn(1, 2, 3, 1, 1), torch.ones(1, 2, 1, 1, 1), (0,), 15.0, actions)
        for actions in (ActionInput(torch.ones(4, 3), 2, 5, {}),) * 2
    ]
    batch = DenoiserInput.joined(each)
    assert batch.flat().shape == batch.clean().shape == (2 * each[0].flat().numel(),)
    latents, actions = batch.split(batch.flat())
    assert torch.equal(latents, torch.cat([one.latents for one in each]))
    assert actions is not None
    assert actions.shape == (2, 4, 3)
