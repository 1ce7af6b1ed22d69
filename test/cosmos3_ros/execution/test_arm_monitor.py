# SPDX-License-Identifier: Apache-2.0
"""The guard trusts fresh, complete, finite joint states and nothing else."""

import numpy as np
import pytest

from cosmos3_ros.execution.arm_monitor import Guard
from cosmos3_ros.model.interface import NS


@pytest.fixture
def guard() -> Guard:
    made = Guard(("a", "b"), NS // 4, 0.5)
    made.take(["b", "x", "a"], [0.2, 9.0, 0.1], 10 * NS, 10 * NS)
    return made


def test_nothing_is_known_at_first() -> None:
    assert Guard(("a",), NS, 0.5).trouble(0) == "no joint states yet"


def test_joints_are_taken_by_name(guard: Guard) -> None:
    assert np.allclose(guard.measured, [0.1, 0.2])
    assert guard.trouble(10 * NS) == ""
    assert guard.is_at(np.array([0.1, 0.25]), 0.1)


def test_old_and_frozen_joint_states_are_trouble(guard: Guard) -> None:
    now = 10 * NS + NS // 2
    assert guard.trouble(now) == "joint states are 0.50 s old, limit 0.25 s"
    guard.take(["a", "b"], [0.3, 0.4], 10 * NS, now)
    assert "0.50 s old" in guard.trouble(now), "a repeated stamp is a frozen stream"
    guard.take(["a", "b"], [0.3, 0.4], now, now)
    assert guard.trouble(now) == ""


def test_stamps_of_a_clock_that_is_ahead_are_trouble(guard: Guard) -> None:
    """Else a stream that has ended would look fresh for as long as that clock is ahead."""
    guard.take(["a", "b"], [0.1, 0.2], 13 * NS, 10 * NS)
    assert guard.trouble(10 * NS) == "joint states are 3.00 s in the future, limit 0.25 s"
    assert guard.trouble(13 * NS) == ""


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["a", "b"], [0.1, float("nan")], "['b'] is not finite"),
        (["a"], [0.1], "lacks ['b']"),
        (["a", "b"], [0.1], "2 names but 1 positions"),
    ],
)
def test_wrong_joint_states_are_trouble_until_a_good_one(
    guard: Guard, names: list[str], positions: list[float], words: str
) -> None:
    guard.take(names, positions, 10 * NS + 1, 10 * NS + 1)
    assert words in guard.trouble(10 * NS + 1)
    assert np.allclose(guard.measured, [0.1, 0.2])
    guard.take(["a", "b"], [0.1, 0.2], 10 * NS + 2, 10 * NS + 2)
    assert guard.trouble(10 * NS + 2) == ""


def test_joint_states_of_other_devices_do_not_count(guard: Guard) -> None:
    guard.take(["wheel"], [float("nan")], 11 * NS, 11 * NS)
    assert guard.trouble(10 * NS) == ""
    assert "old" in guard.trouble(11 * NS)


def test_a_clock_that_jumps_back_is_noticed_and_all_is_forgotten(guard: Guard) -> None:
    assert guard.take(["a", "b"], [0.1, 0.2], 1, 1)
    assert guard.trouble(1) == "no joint states yet"


def test_an_arm_that_does_not_follow_is_astray(guard: Guard) -> None:
    assert guard.astray(np.array([0.5, 0.2])) == ""
    assert guard.astray(np.array([0.1, 0.9])) == "b is 0.700 from its set point, limit 0.500"
