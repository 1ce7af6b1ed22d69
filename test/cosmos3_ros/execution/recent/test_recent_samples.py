# SPDX-License-Identifier: Apache-2.0
"""Samples of the last seconds, one step apart, out of streams that run on their own."""

import numpy as np
import pytest

from cosmos3_ros.execution.recent.recent_samples import RecentSamples
from cosmos3_ros.model.interface import NS

STEP = NS // 10
MS = NS // 1000


def kept(periods: dict[str, int], until: int = 3 * NS, seconds: float = 1.0) -> RecentSamples:
    """Two cameras and a joint at its own stamp in s, of these periods (ns), until then."""
    recent = RecentSamples(("a", "b"), seconds, STEP, NS // 2, 20 * MS)
    for view in ("a", "b"):
        for stamp in range(0, until, periods[view]):
            recent.picture(view, stamp, stamp)
    for stamp in range(0, until, periods["joint"]):
        recent.state(stamp, np.array([stamp / NS]))
    return recent


def test_moments_are_a_step_apart_and_pictures_are_those_near_them() -> None:
    recent = kept({"a": 33 * MS, "b": 100 * MS, "joint": 10 * MS})
    samples = recent.last(10, 3 * NS)
    stamps = [sample.stamp for sample in samples]
    assert np.diff(stamps).tolist() == [STEP] * 10
    assert stamps[-1] == 2900 * MS, "the newest moment that every camera shows"
    for sample in samples:
        assert abs(sample.images["a"] - sample.stamp) <= 33 * MS
        assert sample.images["b"] == sample.stamp
        assert sample.state == pytest.approx([sample.stamp / NS], abs=1e-6)
    assert len(recent.last(3, 3 * NS)) == 4


def test_of_a_fast_camera_no_more_than_two_pictures_a_step_are_kept() -> None:
    recent = kept({"a": 5 * MS, "b": 5 * MS, "joint": 10 * MS})
    near = [abs(sample.images["a"] - sample.stamp) for sample in recent.last(10, 3 * NS)]
    assert max(near) <= STEP // 4


@pytest.mark.parametrize(("seconds", "rows"), [(0.0, 8), (0.8, 8), (0.34, 3), (0.1, 1)], ids=str)
def test_as_many_rows_as_a_chunk_has_are_asked_for(seconds: float, rows: int) -> None:
    assert RecentSamples((), 1.0, STEP, NS, 0).rows(seconds, 8) == rows


@pytest.mark.parametrize("seconds", [0.9, 0.01, -1.0, float("nan"), float("inf")])
def test_other_spans_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"seconds: expected 0, or 0\.100 to 0\.800, got"):
        RecentSamples((), 1.0, STEP, NS, 0).rows(seconds, 8)


def test_what_is_missing_is_said() -> None:
    recent = RecentSamples(("a",), 1.0, STEP, NS // 2, 20 * MS)
    with pytest.raises(ValueError, match="a: no pictures received"):
        recent.last(5, 0)
    recent.picture("a", 5, 5)
    with pytest.raises(ValueError, match="joint states: not of every joint"):
        recent.last(5, 0)
    usual = {"a": STEP, "b": STEP, "joint": STEP}
    with pytest.raises(ValueError, match=r"what was seen is 3\.10 s old, limit 0\.50 s"):
        kept(usual).last(5, 6 * NS)
    with pytest.raises(ValueError, match=r"b: no picture of 0\.70 s ago, the nearest is 0\.20 s"):
        kept(usual | {"b": 500 * MS}).last(7, 3 * NS)
    with pytest.raises(ValueError, match=r"a: no picture of .* s ago, the nearest is"):
        kept(usual, 600 * MS).last(10, 600 * MS)
    cleared = kept(usual)
    cleared.clear()
    with pytest.raises(ValueError, match="a: no pictures received"):
        cleared.last(1, 3 * NS)
