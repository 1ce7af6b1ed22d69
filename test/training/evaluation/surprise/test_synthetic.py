# SPDX-License-Identifier: Apache-2.0
"""Disturbances that are made up: what changes, where, and that only what stands still is moved."""

import numpy as np
import torch

from cosmos3_ros.training.evaluation.surprise.synthetic import Region, disturb

CHANNELS = 2
PLACES = np.array([[0] * 6] * 6 + [[1] * 3 + [2] * 3] * 4)


def told(count: int, moves: bool = False) -> torch.Tensor:
    """Every place shows something of its own, which stands still unless it `moves`."""
    random = torch.Generator().manual_seed(0)
    x = torch.zeros(count, 5 * CHANNELS + 1, *PLACES.shape)
    shown = 2 * torch.randn(count, CHANNELS, *PLACES.shape, generator=random)
    x[:, :CHANNELS] = x[:, CHANNELS : 2 * CHANNELS] = shown
    x[:, 2 * CHANNELS : 3 * CHANNELS] = shown + 2.0 * moves
    return x


def test_a_view_is_a_rectangle_of_places() -> None:
    assert Region.all_of(PLACES) == [
        Region(0, 0, 6, 6),
        Region(6, 0, 4, 3),
        Region(6, 3, 4, 3),
    ]
    assert Region.all_of(np.full((2, 2), -1)) == []


def test_what_is_said_to_be_disturbed_is_what_changed_and_comes_from_the_same_view() -> None:
    before = told(200)
    after, where = disturb(before, CHANNELS, Region.all_of(PLACES), np.random.default_rng(1))
    changed = (after != before).any(1)
    assert torch.equal(changed, where)
    assert torch.equal(after[:, CHANNELS:], before[:, CHANNELS:])
    assert where.flatten(1).any(1).float().mean() > 0.9
    views = torch.from_numpy(PLACES)
    for one, place in zip(where, range(len(where)), strict=True):
        assert len(views[one].unique()) <= 1, place
    assert where.flatten(1).sum(1).max() <= 8  # two blocks of two by two
    assert {int(views[one].unique()) for one in where if one.any()} == {0, 1, 2}


def test_what_moves_in_the_prediction_is_not_moved_but_may_stop() -> None:
    before = told(200, moves=True)
    after, where = disturb(before, CHANNELS, Region.all_of(PLACES), np.random.default_rng(2))
    stopped = where.flatten(1).any(1)
    assert 0.03 < stopped.float().mean() < 0.2
    assert where[stopped].all()
    seen, begin = after[:, :CHANNELS], after[:, 2 * CHANNELS : 3 * CHANNELS]
    ways = (seen - begin).abs().flatten(1).mean(1)
    assert (ways[stopped] < 0.31 * 2.0).all()
    torch.testing.assert_close(ways[~stopped], torch.full_like(ways[~stopped], 2.0))
