# SPDX-License-Identifier: Apache-2.0
"""The monitor trusts fresh, complete, finite joint states and nothing else."""

import numpy as np
import pytest

from cosmos3_ros.execution.arm_monitor import ArmMonitor
from cosmos3_ros.model.interface import NS


@pytest.fixture
def monitor() -> ArmMonitor:
    made = ArmMonitor(("a", "b"), NS // 4, 0.5)
    made.update(["b", "x", "a"], [0.2, 9.0, 0.1], 10 * NS, 10 * NS)
    return made


def test_nothing_is_known_at_first() -> None:
    assert ArmMonitor(("a",), NS, 0.5).fault(0) == "no joint states yet"


def test_joints_are_taken_by_name(monitor: ArmMonitor) -> None:
    assert np.allclose(monitor.measured, [0.1, 0.2])
    assert monitor.fault(10 * NS) == ""
    assert monitor.is_at(np.array([0.1, 0.25]), 0.1)


def test_old_and_frozen_joint_states_are_trouble(monitor: ArmMonitor) -> None:
    now = 10 * NS + NS // 2
    assert monitor.fault(now) == "joint states are 0.50 s old, limit 0.25 s"
    monitor.update(["a", "b"], [0.3, 0.4], 10 * NS, now)
    assert "0.50 s old" in monitor.fault(now), "a repeated stamp is a frozen stream"
    monitor.update(["a", "b"], [0.3, 0.4], now, now)
    assert monitor.fault(now) == ""


def test_stamps_of_a_clock_that_is_ahead_are_trouble(monitor: ArmMonitor) -> None:
    """Else a stream that has ended would look fresh for as long as that clock is ahead."""
    monitor.update(["a", "b"], [0.1, 0.2], 13 * NS, 10 * NS)
    assert monitor.fault(10 * NS) == "joint states are 3.00 s in the future, limit 0.25 s"
    assert monitor.fault(13 * NS) == ""


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["a", "b"], [0.1, float("nan")], "['b'] is not finite"),
        (["a"], [0.1], "lacks ['b']"),
        (["a", "b"], [0.1], "2 names but 1 positions"),
    ],
)
def test_wrong_joint_states_are_trouble_until_a_good_one(
    monitor: ArmMonitor, names: list[str], positions: list[float], words: str
) -> None:
    monitor.update(names, positions, 10 * NS + 1, 10 * NS + 1)
    assert words in monitor.fault(10 * NS + 1)
    assert np.allclose(monitor.measured, [0.1, 0.2])
    monitor.update(["a", "b"], [0.1, 0.2], 10 * NS + 2, 10 * NS + 2)
    assert monitor.fault(10 * NS + 2) == ""


def test_joint_states_of_other_devices_do_not_count(monitor: ArmMonitor) -> None:
    monitor.update(["wheel"], [float("nan")], 11 * NS, 11 * NS)
    assert monitor.fault(10 * NS) == ""
    assert "old" in monitor.fault(11 * NS)


def test_a_clock_that_jumps_back_is_noticed_and_all_is_forgotten(monitor: ArmMonitor) -> None:
    assert monitor.update(["a", "b"], [0.1, 0.2], 1, 1)
    assert monitor.fault(1) == "no joint states yet"


def test_an_arm_that_does_not_follow_is_astray(monitor: ArmMonitor) -> None:
    assert monitor.tracking_fault(np.array([0.5, 0.2])) == ""
    assert (
        monitor.tracking_fault(np.array([0.1, 0.9])) == "b is 0.700 from its set point, limit 0.500"
    )
