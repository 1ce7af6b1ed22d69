# SPDX-License-Identifier: Apache-2.0
"""What is usual: surprise of views and places, and the view of a place."""

import numpy as np
import pytest
import torch

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.surprise.comparison import Comparison
from cosmos3_ros.model.surprise.network import evidence
from cosmos3_ros.model.surprise.reference import Reference, places_of


def comparison(seed: int = 0) -> Comparison:
    random = np.random.default_rng(seed)
    parts = (random.normal(size=(4, 2, 3)).astype(np.float32) for _ in range(3))
    return Comparison(1, *parts)


def test_a_view_is_as_surprising_as_the_networks_find_it_on_average(reference: Reference) -> None:
    surprise = reference.surprise(comparison(), 7)
    assert surprise.stamp == 7
    told = evidence([comparison()], reference.scale)
    with torch.inference_mode():
        logits = np.array([network(told)[0].numpy() for network in reference.networks])
    for view, name in enumerate(reference.views):
        odds = np.exp(logits[:, view == reference.places].astype(np.float64)).sum(1)
        wanted = np.logaddexp(0, np.log(odds).mean()) / reference.once  # -log P(undisturbed)
        assert surprise.values[name] == pytest.approx(wanted, rel=1e-5)
    wanted = np.logaddexp(0, logits.mean(0)) / reference.once * (reference.places >= 0)
    np.testing.assert_allclose(surprise.grid, wanted, rtol=1e-5)
    assert surprise.grid[1, 2] == 0.0  # of no view


def test_many_comparisons_are_judged_as_each_alone(reference: Reference) -> None:
    many = [comparison(seed) for seed in range(4)]
    grid, of_view = reference.nats(many)
    for number, one in enumerate(many):
        alone = reference.nats([one])
        np.testing.assert_allclose(grid[number], alone[0][0], rtol=1e-5)
        np.testing.assert_allclose(of_view[number], alone[1][0], rtol=1e-5)


def test_places_belong_to_the_view_in_whose_panel_their_middle_is() -> None:
    places = places_of(EMBODIMENTS["droid_sim"].canvas, (10, 12))
    assert (places[:6] == 0).all()
    assert (places[6:, :6] == 1).all()
    assert (places[6:, 6:] == 2).all()
