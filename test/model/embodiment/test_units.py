# SPDX-License-Identifier: Apache-2.0
"""Units of columns, there and back."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.units import Column, from_si, in_unit, to_si

COLUMNS = (
    Column("a", "rad"),
    Column("b", "deg"),
    Column("c", "deg", scale=-1.0, offset=90.0),
    Column("d", "mm"),
    Column("e", "ticks", scale=2 * np.pi / 4096, offset=2048.0),
    Column("f", "percent", gripper=True, opened=100.0, closed=0.0),
)


def test_numbers_become_rad_and_m_and_a_share_of_closing():
    said = np.array([[1.0, 180.0, 0.0, 250.0, 3072.0, 25.0]], np.float32)
    inside = to_si(said, COLUMNS)
    np.testing.assert_allclose(inside, [[1.0, np.pi, np.pi / 2, 0.25, np.pi / 2, 0.75]], rtol=1e-6)
    assert inside.dtype == np.float32
    np.testing.assert_allclose(from_si(inside, COLUMNS), said, rtol=1e-6, atol=1e-5)


def test_grippers_end_where_they_are_open_and_closed():
    said = np.zeros(6)
    for value, share in ((120.0, 0.0), (-5.0, 1.0)):
        said[5] = value
        assert to_si(said, COLUMNS)[5] == share
    assert from_si(np.full(6, 1.5), COLUMNS)[5] == 0.0


def test_the_numbers_of_this_package_stay_to_the_last_bit():
    values = np.random.default_rng(0).uniform(0, 1, (50, 8)).astype(np.float32)
    for convert in (to_si, from_si):
        assert np.array_equal(convert(values, EMBODIMENTS["droid_sim"].state), values)
    assert to_si(np.zeros((3, 0)), ()).shape == (3, 0)


def test_another_source_may_count_in_another_unit_of_the_same_kind():
    assert in_unit(COLUMNS[1], "rad") == Column("b", "rad")
    assert in_unit(COLUMNS[4], "deg") == Column("e", "deg")
    assert in_unit(COLUMNS[5], "fraction") == Column("f", "fraction", gripper=True)
    assert in_unit(COLUMNS[5], "mm").opened == 100.0
    for column, unit, words in (
        (COLUMNS[1], "m", r"b: expected .* deg .* \['rad', 'deg'\], got 'm'"),
        (COLUMNS[3], "rad", r"d: expected .* mm .* \['m', 'mm'\], got 'rad'"),
        (COLUMNS[1], "ticks", "got 'ticks'"),
        (COLUMNS[1], "grad", "got 'grad'"),
    ):
        with pytest.raises(ValueError, match=words):
            in_unit(column, unit)
