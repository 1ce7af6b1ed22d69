# SPDX-License-Identifier: Apache-2.0
"""The rows of a chunk as they were commanded."""

import numpy as np

from cosmos3_ros.execution.surprise.played_rows import PlayedRows
from cosmos3_ros.model.interface import NS, ActionChunk

STEP = NS // 10
CHUNK = ActionChunk(np.ones((8, 2), np.float32), ("j", "finger"), NS, STEP, ("finger",))


def commanded(until: float) -> PlayedRows:
    """A joint that moves by 1 a second, and a gripper at 5, from 1 s on."""
    played = PlayedRows()
    for number in range(round(until * 100)):
        seconds = number / 100
        played.add(NS + round(seconds * NS), np.array([seconds, 5.0]))
    return played


def test_joints_are_where_they_were_commanded_and_grippers_as_the_chunk_has_them() -> None:
    rows = commanded(1.0).of(CHUNK, NS, NS + 4 * STEP)
    assert rows is not None
    np.testing.assert_allclose(rows.values[:, 0], [0.1, 0.2, 0.3, 0.4], atol=1e-6)
    assert (rows.values[:, 1] == 1).all()
    later = commanded(1.0).of(CHUNK, NS + STEP // 2, NS + STEP // 2 + 4 * STEP)
    assert later is not None
    np.testing.assert_allclose(later.values[:, 0], [0.15, 0.25, 0.35, 0.45], atol=1e-6)


def test_nothing_is_said_without_set_points_or_after_the_last_one() -> None:
    assert PlayedRows().of(CHUNK, NS, NS + STEP) is None
    assert commanded(0.2).of(CHUNK, NS, NS + 6 * STEP) is None
    played = commanded(1.0)
    played.clear()
    assert played.of(CHUNK, NS, NS + STEP) is None
