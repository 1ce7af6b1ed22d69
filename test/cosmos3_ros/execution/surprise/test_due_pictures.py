# SPDX-License-Identifier: Apache-2.0
"""Which pictures a prediction is compared with: those of its moments, while it is played."""

import numpy as np
import pytest

from cosmos3_ros.execution.surprise.due_pictures import DuePictures, PictureKeeper
from cosmos3_ros.model.interface import NS, ActionChunk, Prediction

STEP = NS // 15
VIEWS = ("a", "b")


def prediction(stamp: int, rows: int = 16) -> Prediction:
    return Prediction(ActionChunk(np.zeros((rows, 1), np.float32), ("j",), stamp, STEP))


def feed(keeper: PictureKeeper, begin: float, end: float, rate: float = 30.0) -> list[DuePictures]:
    """Pictures of both views, named by their stamp, and what became due."""
    found = []
    for number in range(round(begin * rate), round(end * rate)):
        stamp = NS + round(number * NS / rate)
        for view in VIEWS:
            keeper.add(view, stamp, stamp)
        found += keeper.take()
    return found


@pytest.fixture
def keeper() -> PictureKeeper:
    return PictureKeeper(VIEWS, STEP, 4)


def test_each_latent_gets_the_pictures_of_its_moments(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    assert feed(keeper, 0.0, 0.3) == []  # while it is inferred
    keeper.predicted(1, prediction(NS))
    keeper.playing(1, NS, NS + NS * 3 // 10)
    found = feed(keeper, 0.3, 1.2)
    assert [due.index for due in found] == [0, 1, 2, 3, 4]
    assert [len(due.pictures) for due in found] == [1, 4, 4, 4, 4]
    for due in found:
        for moment, views in zip(due.moments, due.pictures, strict=True):
            assert all(abs(stamp - moment) <= NS // 60 + 1 for stamp in views.values())
    assert found[-1].moments[-1] == NS + 16 * STEP


def test_only_what_was_played_counts(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    feed(keeper, 0.0, 0.1)
    keeper.predicted(1, prediction(NS))
    assert feed(keeper, 0.1, 0.4) == [], "a dry run, or refused"
    keeper.playing(1, NS, NS + 4 * NS // 10)
    assert [due.index for due in feed(keeper, 0.4, 0.6)] == [0, 1, 2]
    keeper.playing(0, 0, NS + 7 * NS // 10)  # it holds: the third ends at 0.8 s
    assert feed(keeper, 0.6, 1.5) == []


def test_the_chunk_before_counts_until_the_next_one_is_played(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    feed(keeper, 0.0, 0.1)
    keeper.predicted(1, prediction(NS))
    keeper.playing(1, NS, NS + NS // 10)
    found = feed(keeper, 0.1, 0.5)
    second = NS + 4 * NS // 10
    keeper.expect(second)
    keeper.predicted(2, prediction(second))
    keeper.playing(2, second, NS + 6 * NS // 10)
    found += feed(keeper, 0.5, 1.0)
    assert [(due.number, due.index) for due in found] == [
        (1, 0),
        (1, 1),
        (2, 0),  # 0.4 s
        (1, 2),  # 0.53 s
        (2, 1),
        (2, 2),
    ]


def test_rows_of_a_chunk_that_begins_at_rest_count_from_when_it_does(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    feed(keeper, 0.0, 0.3)
    keeper.predicted(1, prediction(NS))
    later = NS + NS // 4
    keeper.playing(1, later, later)
    found = feed(keeper, 0.3, 0.7)
    assert [due.moments[-1] for due in found] == [later, later + 4 * STEP]
    assert found[0].base == later


def test_a_gap_in_the_pictures_ends_the_comparison(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    feed(keeper, 0.0, 0.3)
    keeper.predicted(1, prediction(NS))
    keeper.playing(1, NS, NS)
    found = feed(keeper, 0.3, 0.35)
    assert [due.index for due in found] == [0, 1]
    assert feed(keeper, 0.55, 1.5) == []


def test_memory_is_bounded_and_old_pictures_are_let_go(keeper: PictureKeeper) -> None:
    keeper.expect(NS)
    feed(keeper, 0.0, 60.0, rate=60.0)
    assert len(keeper._stamps["a"]) <= 60
    keeper.predicted(1, prediction(NS + 59 * NS))
    keeper.playing(1, NS + 59 * NS, NS + 59 * NS)
    feed(keeper, 60.0, 62.0)
    keeper.expect(NS + 62 * NS)
    feed(keeper, 62.0, 62.1)
    assert len(keeper._stamps["a"]) <= 6
    keeper.clear()
    assert feed(keeper, 63.0, 64.0) == []
