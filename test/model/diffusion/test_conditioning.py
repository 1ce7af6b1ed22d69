# SPDX-License-Identifier: Apache-2.0
"""Committed rows that are only a wish draw the new chunk towards themselves, the first ones most."""

import dataclasses

import numpy as np
import pytest
import torch

from cosmos3_ros.model.diffusion.conditioning import RtcTarget
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


def test_a_bent_velocity_leads_to_a_guess_nearer_to_the_wish() -> None:
    rows, weights = torch.ones(1, 3, 2), torch.tensor([1.0, 0.5, 0.0])
    actions, speed = torch.randn(1, 3, 2), torch.randn(1, 3, 2)
    for time in (999.0, 900.0, 500.0, 50.0):
        sigma = time / 1000
        before, after = (
            actions - sigma * v
            for v in (speed, RtcTarget(rows, weights).guide(actions, speed, time))
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
    wished = dataclasses.replace(
        old, values=(np.tile(seen.state, (HARD + SOFT, 1)) + 0.1).astype(np.float32)
    )
    decided = dataclasses.replace(wished, values=wished.values[:HARD])
    hard = free.infer(seen, decided).chunk.values
    soft = policy(model, soft_rows=SOFT).infer(seen, wished).chunk.values
    return wished.values, hard, soft


def test_the_decided_rows_come_back_unchanged(chunks: tuple[np.ndarray, ...]) -> None:
    wished, hard, soft = chunks
    assert np.array_equal(hard[:HARD], wished[:HARD])
    assert np.array_equal(soft[:HARD], wished[:HARD])


def test_the_soft_rows_are_drawn_towards_the_wish_less_and_less(
    chunks: tuple[np.ndarray, ...],
) -> None:
    wished, hard, soft = chunks
    rows = slice(HARD, HARD + SOFT)
    far = np.abs(hard[rows] - wished[rows]).mean(axis=1)
    near = np.abs(soft[rows] - wished[rows]).mean(axis=1)
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
