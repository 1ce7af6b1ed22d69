# SPDX-License-Identifier: Apache-2.0
"""Windows over a clip: where they lie, how shared rows are blended, how differences are told."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.dynamics.windows import (
    Differences,
    Rows,
    blend,
    overlaps,
    tell,
    window_starts,
)

ARM, POSE = EMBODIMENTS["droid_sim"], EMBODIMENTS["umi"]


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 24, 40, 95])
@pytest.mark.parametrize("overlap", [0, 1, 8, 15])
def test_windows_cover_every_row_and_share_at_least_the_overlap(rows, overlap):
    starts = window_starts(rows, 16, overlap)
    ends = [min(start + 16, rows) for start in starts]
    assert (starts[0], ends[-1]) == (0, rows)
    assert starts == sorted({*starts})
    assert all(end - after >= overlap for end, after in zip(ends[:-1], starts[1:], strict=True))
    assert len(starts) <= 1 + max(0, -(-(rows - 16) // (16 - overlap)))


@pytest.mark.parametrize("overlap", [-1, 16])
def test_an_overlap_that_leaves_nothing_is_refused(overlap):
    with pytest.raises(ValueError, match=r"overlap: expected 0 to 15 rows, got"):
        window_starts(40, 16, overlap)


def arm_rows(start, level, grip):
    return Rows(start, np.array([[level] * 7 + [grip]] * 16, np.float32))


def test_shared_rows_lie_between_and_the_later_window_takes_over():
    windows = [arm_rows(0, 0.0, 0.0), arm_rows(8, 1.0, 1.0)]
    mixed = blend(windows, ARM)
    assert mixed.shape == (24, 8)
    assert (mixed[:8] == 0).all()
    assert (mixed[16:] == 1).all()
    assert mixed[8:16, 0] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    assert set(mixed[:, 7]) == {0.0, 1.0}  # a gripper is open or closed, never between
    assert (blend([windows[1]], ARM)[8:] == 1).all()


def test_quaternions_of_opposite_signs_are_the_same_rotation():
    rows = np.zeros((16, 8), np.float32)
    rows[:, 3:7] = [0.0, 0.6, 0.0, 0.8]
    turned = rows.copy()
    turned[:, 3:7] *= -1
    mixed = blend([Rows(0, rows), Rows(8, turned)], POSE)
    assert np.abs(np.abs(mixed[:, 3:7] @ rows[0, 3:7]) - 1).max() < 1e-6
    assert np.abs(mixed[8:16, 3:7] - rows[0, 3:7]).max() < 1e-6
    found = Differences(POSE).extend(overlaps([Rows(0, rows), Rows(8, turned)])).summary()
    assert found["mrad"]["mean"] < 1e-3
    half = np.sin(0.05), np.cos(0.05)  # 0.1 rad about y
    one, other = rows[:1].copy(), rows[:1].copy()
    one[0, 3:7], other[0, 3:7] = [0, 0, 0, 1], [0, half[0], 0, half[1]]
    other[0, 0] = 0.002
    found = Differences(POSE).extend([(one, other)]).summary()
    assert found["mrad"]["mean"] == pytest.approx(100, rel=1e-3)
    assert found["mm"]["mean"] == pytest.approx(2 / 3, rel=1e-3)


def test_differences_are_told_in_units_and_grippers_in_rows():
    one, other = np.zeros((2, 20, 8), np.float32)
    other[:, :7] = 0.01
    other[0, :7] = 0.21
    other[:5, 7] = 0.9
    found = Differences(ARM).extend([(one, other)]).summary()
    assert found["mrad"] == {
        "mean": pytest.approx(20),
        "p95": pytest.approx(20, rel=0.5),
        "numbers": 140,
    }
    assert found["gripper"] == {"differ": 0.25, "rows": 20}
    assert tell(found).startswith("20.0 mrad (p95 ")
    assert tell(found).endswith("gripper differs in 25.0% of the rows")
    assert tell(Differences(ARM).summary()) == "nothing to compare"
