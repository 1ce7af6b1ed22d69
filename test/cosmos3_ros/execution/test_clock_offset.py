# SPDX-License-Identifier: Apache-2.0
"""The difference of two clocks is the least age of the messages."""

import numpy as np
import pytest

from cosmos3_ros.execution.clock_offset import ClockOffset
from cosmos3_ros.model.interface import NS


def fed(ahead: float, seconds: float = 5.0, begin: int = 0) -> ClockOffset:
    """After 100 Hz from a clock that is `ahead` s, with delays from 0.5 ms on, some very late."""
    random, offset, now = np.random.default_rng(0), ClockOffset(), 0
    for k in range(int(100 * seconds)):
        sent = begin + k * NS // 100
        delay = 0.0005 + random.exponential(0.003) + 0.2 * (random.random() < 0.05)
        now = max(now, sent + int(delay * NS))
        offset.add(sent + int(ahead * NS), now)
    return offset


def test_nothing_is_said_before_anything_is_known() -> None:
    assert ClockOffset().seconds is None
    assert ClockOffset().fault(0.01) == ""


@pytest.mark.parametrize("ahead", [0.0, 0.02, -0.02, 3600.0, -1.5])
def test_the_difference_is_found_to_a_millisecond(ahead: float) -> None:
    assert fed(ahead).seconds == pytest.approx(-ahead, abs=0.001)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(0.009, ""), (-0.008, ""), (0.02, "19 ms ahead"), (-0.02, "21 ms behind, or they arrive")],
)
def test_a_difference_is_said_beyond_the_limit(ahead: float, words: str) -> None:
    said = fed(ahead).fault(0.01)
    assert words in said
    assert bool(said) == bool(words)
    assert "\n" not in said


def test_an_old_difference_is_forgotten_and_so_is_one_before_the_clock_was_set_back() -> None:
    offset = fed(0.5)
    for k in range(1200):
        offset.add(NS * 6 + k * NS // 100, NS * 6 + k * NS // 100 + NS // 1000)
    assert offset.seconds == pytest.approx(0.001)
    offset.add(0, NS // 500)
    assert offset.seconds == pytest.approx(0.002)
    offset.forget()
    assert offset.seconds is None
