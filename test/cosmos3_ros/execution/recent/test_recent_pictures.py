# SPDX-License-Identifier: Apache-2.0
"""Which pictures of a camera are kept."""

import pytest

from cosmos3_ros.execution.recent.recent_pictures import RecentPictures
from cosmos3_ros.model.interface import NS


def fed(seconds: float, rate: float, camera: float, until: float) -> RecentPictures[int]:
    kept = RecentPictures[int](seconds, rate)
    for number in range(round(until * camera)):
        kept.add(NS + round(number / camera * NS), number)
    return kept


def test_the_newest_alone_is_kept_unless_asked_otherwise() -> None:
    kept = fed(0.0, 2.0, 30.0, 10.0)
    assert kept.newest == 299
    assert kept.last(5.0) == [(NS + round(299 / 30 * NS), 299)]


@pytest.mark.parametrize("camera", [15.0, 29.97, 30.0, 60.0])
def test_a_few_a_second_are_kept_for_so_long(camera: float) -> None:
    kept = fed(4.0, 2.0, camera, 20.0)
    stamps = [stamp for stamp, _ in kept.last(4.0)]
    assert stamps == sorted(stamps)
    assert stamps[-1] == NS + round((round(20 * camera) - 1) / camera * NS)
    assert 3.4 * NS < stamps[-1] - stamps[0] <= 4.0 * NS
    assert 8 <= len(stamps) <= 10
    assert len(kept.last(1.0)) in (2, 3, 4)
    assert len(kept._kept) <= 10, "memory"


def test_old_or_repeated_pictures_are_dropped_and_everything_may_be_forgotten() -> None:
    kept = fed(4.0, 2.0, 30.0, 2.0)
    newest = kept.newest
    kept.add(NS, -1)
    assert kept.newest == newest
    kept.clear()
    assert (kept.newest, kept.last(9.0)) == (None, [])
    kept.add(NS, 7)
    assert kept.newest == 7
