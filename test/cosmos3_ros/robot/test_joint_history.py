# SPDX-License-Identifier: Apache-2.0
"""Joints are interpolated between what was measured, held at the ends, never across a gap."""

import math

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.joint_history import FINEST, JointHistory

MS = NS // 1000
NAN = math.nan


def history(*rows: tuple[int, list[float]]) -> JointHistory:
    made = JointHistory(kept=NS, longest=50 * MS)
    for stamp, row in rows:
        made.add(stamp * MS, np.array(row))
    return made


@pytest.mark.parametrize(
    ("moment", "value", "distance"),
    [(100, 0.0, 0), (110, 0.25, 0), (140, 1.0, 0), (90, 0.0, 10), (155, 1.0, 15)],
)
def test_a_moment_between_two_stamps_is_interpolated_and_one_outside_held(
    moment: int, value: float, distance: int
) -> None:
    made = history((100, [0.0]), (140, [1.0]))
    assert made.at(moment * MS).tolist() == pytest.approx([value])
    assert made.distance(moment * MS) == distance * MS


def test_a_gap_is_not_interpolated() -> None:
    made = history((100, [0.0]), (160, [1.0]))
    assert made.at(110 * MS).tolist() == [0.0]
    assert made.at(150 * MS).tolist() == [1.0]
    assert made.distance(130 * MS) == 30 * MS


def test_where_an_angle_wraps_the_nearer_value_counts() -> None:
    made = history((100, [3.12]), (120, [-3.14]))
    assert made.at(108 * MS).tolist() == [3.12]
    assert made.at(112 * MS).tolist() == [-3.14]


def test_each_joint_has_stamps_of_its_own() -> None:
    made = history((100, [0.0, NAN]), (105, [NAN, 5.0]), (120, [2.0, NAN]))
    assert made.newest == 105 * MS
    assert made.at(110 * MS).tolist() == [1.0, 5.0]
    assert made.distance(110 * MS) == 5 * MS
    assert history((100, [0.0, NAN])).newest is None, "the second joint was never told"
    assert history().newest is None


def test_stamps_that_do_not_grow_are_nothing() -> None:
    made = history((100, [0.0]), (120, [2.0]), (120, [9.0]), (110, [9.0]))
    assert made.at(110 * MS).tolist() == [1.0]


def test_one_second_is_kept_however_quick_the_messages_are() -> None:
    made = history()
    for k in range(40_000):
        made.add(k * MS // 10, np.array([k / 10]))  # 10 kHz for 4 s
    for moment in (3010, 3500, 3999):
        assert made.at(moment * MS).tolist() == pytest.approx([moment], abs=0.1)
    (track,) = made._tracks
    assert len(track.stamps) < 2 * FINEST
    made.clear()
    assert made.newest is None
