# SPDX-License-Identifier: Apache-2.0
"""What is fitted to undisturbed episodes tells others like them from disturbed ones."""

import numpy as np
import pytest

from cosmos3_ros.model.surprise.comparison import Comparison
from cosmos3_ros.training.evaluation.surprise.fit import RARE, fit

CHANNELS, PLACES = 6, np.array([[0, 0, 0, 0], [1, 1, 2, 2], [1, 1, 2, 2]])
VIEWS = ("wrist", "left", "right")
PERIOD = 0.2


def episode(random: np.random.Generator, length: int = 20, moved: float = 0.0) -> list[Comparison]:
    """Residuals whose channels have different sizes, larger where it moves.

    moved: added to two channels of one place of the last comparison.
    """
    found = []
    sizes = np.array([3.0, 2.0, 1.0, 0.5, 0.2, 0.1])[:, None, None]
    for number in range(length):
        begin = random.normal(size=(CHANNELS, *PLACES.shape))
        moving = random.random(PLACES.shape) < 0.3
        predicted = begin + moving * random.normal(size=begin.shape)
        residual = random.normal(size=begin.shape) * sizes * (0.1 + moving)
        if number == length - 1:
            residual[-2:, 1, 2] += moved
        parts = (a.astype(np.float32) for a in (begin, predicted, predicted + residual))
        found.append(Comparison(1 + number % 2, *parts))
    return found


@pytest.fixture(scope="module")
def reference():
    random = np.random.default_rng(0)
    return fit([episode(random) for _ in range(40)], VIEWS, PLACES, PERIOD, {"source": "test"})


def test_others_that_are_undisturbed_reach_one_about_once_in_ten_minutes(reference) -> None:
    random = np.random.default_rng(1)
    values = [
        reference.surprise(comparison, 0).value
        for _ in range(150)
        for comparison in episode(random)
    ]
    assert len(values) * PERIOD == RARE
    assert sum(value >= 1 for value in values) <= 6
    assert max(values) > 0.5


def test_what_moves_in_a_quiet_place_is_found_and_where(reference) -> None:
    random = np.random.default_rng(2)
    found = [reference.surprise(episode(random, moved=3.0)[-1], 0) for _ in range(20)]
    assert sum(surprise.value >= 1 for surprise in found) >= 18
    hits = [surprise for surprise in found if surprise.value >= 1]
    places = [np.unravel_index(int(s.grid.argmax()), s.grid.shape) for s in hits]
    assert all(place == (1, 2) for place in places)
    assert all(max(s.values, key=lambda view: s.values[view]) == "right" for s in hits)


def test_too_few_episodes_are_refused() -> None:
    random = np.random.default_rng(3)
    with pytest.raises(ValueError, match="episodes: expected at least 4, got 3"):
        fit([episode(random) for _ in range(3)], VIEWS, PLACES, PERIOD)
    with pytest.raises(ValueError, match="expected some comparisons of each latent"):
        fit([[] for _ in range(8)], VIEWS, PLACES, PERIOD)
