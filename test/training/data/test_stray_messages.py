# SPDX-License-Identifier: Apache-2.0
"""What contradicts the rest of a recording is found, and nothing else is."""

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS
from cosmos3_ros.training.data.stray_messages import leaps, stray_positions, stray_stamps

START = 1_700_000_000 * NS
YEAR = 365 * 86400 * NS
RECEIVED = START + np.arange(300) * NS // 30


def found(stamps: np.ndarray, received: np.ndarray = RECEIVED) -> list[int]:
    return sorted(int(at) for stray in stray_stamps(stamps, received) for at in stray.which)


@pytest.mark.parametrize("off", [60, -60, 1.5, -1.5, 14 * YEAR / NS, -53.9 * YEAR / NS])
@pytest.mark.parametrize("at", [[0], [299], [150], [0, 1, 2], [7, 90, 91, 200], [297, 298, 299]])
def test_stamps_of_another_time_are_stray(off: float, at: list[int]) -> None:
    stamps = RECEIVED - 4_000_000
    stamps[at] += round(off * NS)
    assert found(stamps) == at
    (stray,) = stray_stamps(stamps, RECEIVED)
    assert f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the others" in stray.why


def test_missing_and_exchanged_stamps_are_stray() -> None:
    stamps = RECEIVED - 4_000_000
    stamps[[0, 1, 50]] = 0
    stamps[[100, 200]] = stamps[[200, 100]]
    assert found(stamps) == [0, 1, 50, 100, 200]
    assert [stray.why for stray in stray_stamps(stamps, RECEIVED)] == [
        "no stamp in the header",
        "stamped 3.3 s ahead of the others",
        "stamped 3.3 s behind the others",
    ]


@pytest.mark.parametrize("speed", [0.01, 0.5, 1.0, 20.0])
def test_a_simulation_may_have_a_clock_of_any_speed_and_stand_still(speed: float) -> None:
    stamps = 5 * NS + np.arange(300) * NS // 30
    received = START + ((stamps - 5 * NS) / speed).astype(np.int64)
    received[150:] += 600 * NS  # paused
    assert found(stamps, received) == []
    stamps[200] += 100 * NS
    assert found(stamps, received) == [200]


def test_late_disordered_and_interrupted_messages_are_not_stray() -> None:
    random = np.random.default_rng(0)
    stamps = RECEIVED - random.integers(0, 800_000_000, 300)
    assert found(stamps) == []
    later = RECEIVED + np.where(np.arange(300) > 100, 3 * 86400 * NS, 0)
    assert found(later - 4_000_000, later) == [], "the recorder was paused for days"


def test_the_first_messages_before_the_clock_was_set_are_stray() -> None:
    stamps = RECEIVED.copy()
    stamps[:140] = 12 * NS + np.arange(140) * NS // 30
    assert found(stamps) == list(range(140))


@pytest.mark.parametrize(
    ("which", "off", "words"),
    [
        (slice(120, None), -4.0, r"go back by 4\.0 s: expected one clock"),
        (slice(0, None, 2), -5.0, r"are of two clocks: 150 of 300 are 5\.0 s \w+"),
        (slice(0, None, 4), 60.0, r"75 of 300 are 60\.0 s ahead of the others"),
        (slice(0, 150), 14 * YEAR / NS, r"go back by 441504000\.0 s"),
    ],
)
def test_two_clocks_are_refused(which: slice, off: float, words: str) -> None:
    stamps = RECEIVED.copy()
    stamps[which] += round(off * NS)
    with pytest.raises(ValueError, match=words):
        stray_stamps(stamps, RECEIVED)


JOINTS = ["a", "b", "grip"]
LIMITS = np.array([2.0, 1.0, np.inf])
TIMES = START + np.arange(1000) * NS // 100


def moving() -> np.ndarray:
    """A motion through zero, at most at half the limits, and a gripper that jumps."""
    seconds = (TIMES - START) / NS
    grip = (seconds % 2 > 1) * 0.8
    return np.stack([np.sin(seconds), 1.0 + 0.4 * np.cos(seconds), grip], 1)


@pytest.mark.parametrize(
    "at", [[0], [999], [500], [0, 1, 2], [300, 301, 302, 600], [*range(5, 1000, 12)]]
)
def test_zeros_of_a_second_publisher_are_stray_through_all_of_a_motion(at: list[int]) -> None:
    positions = moving()
    positions[at] = 0.0
    stray = stray_positions(JOINTS, LIMITS, TIMES, positions)
    assert stray.which.tolist() == at
    assert stray.why.startswith("b is said to have moved by ")
    assert stray.why.endswith("within 0.010 s, limit 1.00 per second")


def test_a_motion_is_not_stray_at_any_rate_nor_behind_a_gap() -> None:
    for step in (1, 3, 10, 30):
        assert not len(stray_positions(JOINTS, LIMITS, TIMES[::step], moving()[::step]).which)
    positions = moving()
    positions[::2, 0] = np.nan  # joints of two devices
    positions[1::2, 1:] = np.nan
    assert not len(stray_positions(JOINTS, LIMITS, TIMES, positions).which)


@pytest.mark.parametrize("every", [2, 3, 5])
def test_two_publishers_are_refused_with_the_joint(every: int) -> None:
    positions = moving()
    positions[::every] = 0.0
    with pytest.raises(
        ValueError, match=rf"b is said .* {-(-1000 // every)} of 1000 messages do \(a"
    ):
        stray_positions(JOINTS, LIMITS, TIMES, positions)


def test_publishers_that_share_only_some_joints_contradict_each_other_too() -> None:
    positions = moving()
    positions[::20, 1] = 3.0
    positions[::20, [0, 2]] = np.nan
    assert stray_positions(JOINTS, LIMITS, TIMES, positions).which.tolist() == [*range(0, 1000, 20)]


def test_an_arm_that_is_set_elsewhere_leaps_once() -> None:
    """As a simulation does at a reset: nothing is stray, the leap is where it is."""
    positions = moving()
    positions[400:] += 1.5
    assert not len(stray_positions(JOINTS, LIMITS, TIMES, positions).which)
    assert np.flatnonzero(leaps(2.0, TIMES, positions[:, 0])).tolist() == [399]
    assert not leaps(np.inf, TIMES, positions[:, 0]).any()
