# SPDX-License-Identifier: Apache-2.0
"""The sample that is played: judged best, and of those judged alike the one in the middle."""

import numpy as np
import pytest

from cosmos3_ros.model.best_of.choice import choose, disagreement, distances


def samples(*offsets: float) -> np.ndarray:
    """Chunks [N, 4, 2] that differ in the second column, by these offsets in every row."""
    chunks = np.zeros((len(offsets), 4, 2), np.float32)
    chunks[..., 1] = np.array(offsets)[:, None]
    return chunks


def test_distances_are_in_the_units_of_the_columns() -> None:
    apart = distances(samples(0.0, 0.1, 0.4))
    assert apart == pytest.approx(np.array([[0, 0.1, 0.4], [0.1, 0, 0.3], [0.4, 0.3, 0]]), abs=1e-6)
    assert disagreement(apart) == pytest.approx(0.4)
    late = samples(0.0, 0.0)
    late[1, 3, 0] = 1.0  # a gripper that closes one row of four sooner
    assert disagreement(distances(late)) == pytest.approx(0.25)
    assert disagreement(distances(samples(0.3))) == 0.0


def test_without_questions_the_medoid_is_played() -> None:
    assert choose(distances(samples(0.0, 0.5, 0.1, 0.2))) in (2, 3)
    assert choose(distances(samples(9.0, 0.2, 0.0, 0.1, 0.05))) == 3
    assert choose(distances(samples(0.1, 0.1, 0.1))) == 0, "of equals the first"


def test_the_answers_come_first_and_the_medoid_among_equals() -> None:
    apart = distances(samples(9.0, 0.2, 0.0, 0.1))
    assert choose(apart, [0.9, 0.1, 0.2, 0.3]) == 0
    assert choose(apart, [0.9, 0.5, 0.87, 0.88]) == 3, "alike: within 0.05 of the best"
    assert choose(apart, [0.9, 0.5, 0.84, 0.84]) == 0
    assert choose(apart, [0.5] * 4) == choose(apart)
