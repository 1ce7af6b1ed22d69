# SPDX-License-Identifier: Apache-2.0
"""A loader in a thread of its own: what is taken and what is kept."""

from cosmos3_ros.training.data.background_loader import BackgroundLoader


def test_what_was_taken_is_not_kept():
    source = BackgroundLoader(lambda: (number for number in range(5)))
    source.wait_for(9)
    assert source.take() == [0, 1, 2, 3, 4]
    assert source.take() == source.clips == []
    source.wait_for(5)
    source.close()


def test_the_latest_that_are_wanted_are_kept():
    source = BackgroundLoader(
        lambda: (number for number in range(9)), 3, lambda number: number % 2 == 0
    )
    source.wait_for(9)
    assert len(source.take()) == 9
    source.close()
    assert list(source.latest) == [4, 6, 8]
