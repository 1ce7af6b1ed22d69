# SPDX-License-Identifier: Apache-2.0
"""The monitor trusts fresh, complete, finite joint states and nothing else."""

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import Limits
from cosmos3_ros.execution.supervision.arm_monitor import LASTS, SETTLING, SUSPECT, ArmMonitor
from cosmos3_ros.model.interface import NS

LIMITS = Limits(*(np.full(2, value) for value in (-3.0, 3.0, 2.0, 8.0, 200.0)))


@pytest.fixture
def monitor() -> ArmMonitor:
    made = ArmMonitor(("a", "b"), LIMITS, NS // 4)
    made.update(["b", "x", "a"], [0.2, 9.0, 0.1], 10 * NS, 10 * NS)
    return made


def test_nothing_is_known_at_first() -> None:
    assert ArmMonitor(("a", "b"), LIMITS, NS).fault(0) == "no joint states yet"


def test_joints_are_taken_by_name(monitor: ArmMonitor) -> None:
    assert np.allclose(monitor.measured, [0.1, 0.2])
    assert monitor.fault(10 * NS) == ""


def test_old_and_frozen_joint_states_are_trouble(monitor: ArmMonitor) -> None:
    now = 10 * NS + NS // 2
    assert monitor.fault(now) == "joint states are 0.50 s old, limit 0.25 s"
    monitor.update(["a", "b"], [0.3, 0.4], 10 * NS, now)
    assert "0.50 s old" in monitor.fault(now), "a repeated stamp is a frozen stream"
    now += LASTS
    monitor.update(["a", "b"], [0.3, 0.4], now, now)
    assert monitor.fault(now) == ""


def test_stamps_of_a_clock_that_is_ahead_are_trouble(monitor: ArmMonitor) -> None:
    """Else a stream that has ended would look fresh for as long as that clock is ahead."""
    monitor.update(["a", "b"], [0.1, 0.2], 13 * NS, 10 * NS)
    words = "joint states: stamped 3.00 s ahead of its reception: the clocks differ"
    assert monitor.fault(10 * NS) == words
    assert monitor.fault(11 * NS) == words, "nothing better came"


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["a", "b"], [0.1, float("nan")], "['b'] is not finite"),
        (["a", "b"], [0.1], "2 names but 1 positions"),
        (["a", "a"], [0.1, 0.2], "['a'] more than once"),
    ],
)
def test_wrong_joint_states_are_trouble_for_a_moment_at_least(
    monitor: ArmMonitor, names: list[str], positions: list[float], words: str
) -> None:
    """However the good ones of another publisher fall between them."""
    wrong = 10 * NS + 1
    monitor.update(names, positions, wrong, wrong)
    for now in (wrong, wrong + 1, wrong + LASTS - 1):
        assert words in monitor.fault(now)
        assert np.allclose(monitor.measured, [0.1, 0.2])
        monitor.update(["a", "b"], [0.1, 0.2], now + 1, now + 1)
    assert monitor.fault(wrong + LASTS) == ""


def test_each_joint_has_its_own_stamp(monitor: ArmMonitor) -> None:
    """As of an arm and a gripper, or two halves of an arm, with a driver each."""
    for k in range(1, 30):
        now = 10 * NS + k * NS // 100
        joint = "ab"[k % 2]
        monitor.update([joint], [0.1 * (1 + k % 2) + 0.001 * k], now, now)
        assert monitor.fault(now) == ""
    assert np.allclose(monitor.measured, [0.128, 0.229])
    monitor.update(["a"], [0.128], now + NS // 2, now + NS // 2)
    assert "joint states of ['b'] are 0.50 s old" in monitor.fault(now + NS // 2)


def test_a_joint_that_was_never_heard_is_named_with_what_was() -> None:
    monitor = ArmMonitor(("a", "b"), LIMITS, NS // 4)
    monitor.update(["a", "b_joint"], [0.1, 0.2], NS, NS)
    assert monitor.fault(NS) == "joint states lack ['b']; heard instead: ['b_joint']"
    assert monitor.measured is None


def test_messages_without_positions_say_nothing(monitor: ArmMonitor) -> None:
    assert not monitor.update(["a", "b"], [], 10 * NS + 1, 10 * NS + 1)
    assert monitor.fault(10 * NS + 1) == ""


@pytest.mark.parametrize("period", [1, 5, 50])
def test_two_publishers_that_contradict_each_other_are_named(
    monitor: ArmMonitor, period: int
) -> None:
    """The other one sends zeros at once with, often, or less often than the robot."""
    for k in range(1, 200):
        now = 10 * NS + k * NS // 100
        monitor.update(["a", "b"], [1.2, 0.2], now, now)
        if k % period == 0:
            monitor.update(["a", "b"], [0.0, 0.0], now + NS // 1000, now + NS // 1000)
        monitor.publishers = ("driver", "joint_state_publisher")
        assert monitor.measured[0] in (0.1, 1.2)  # type: ignore[index]
        if k > 1 and period == 1:
            assert monitor.measured[0] == 0.1, "not one of both"  # type: ignore[index]
    last = monitor.contradicted_at
    assert "a is said to have moved by 1.200 within 0.0" in monitor.fault(last)
    assert monitor.fault(last).endswith("; 2 publishers: driver, joint_state_publisher")
    end = last + SETTLING
    monitor.update(["a", "b"], [1.2, 0.2], end, end)
    assert monitor.fault(end) == ""
    assert "a is said to have moved" in monitor.why_not_arm(end), "two publishers are suspect"
    assert monitor.why_not_arm(last + SUSPECT) == ""


def test_an_arm_that_is_put_elsewhere_is_believed_after_a_while(monitor: ArmMonitor) -> None:
    for k in range(1, 100):
        now = 10 * NS + k * NS // 100
        monitor.update(["a", "b"], [-1.0, 0.2], now, now)
        expected = -1.0 if now - monitor.contradicted_at >= SETTLING else 0.1
        assert monitor.measured[0] == expected  # type: ignore[index]
    assert monitor.fault(now) == monitor.why_not_arm(now) == ""


def test_when_joint_states_have_settled_the_next_one_is_needed(monitor: ArmMonitor) -> None:
    """Until it comes, the last measured position is one from before they contradicted."""
    for k in range(1, 50):
        now = 10 * NS + k * NS // 100
        monitor.update(["a", "b"], [-1.0, 0.2], now, now)
    settled = monitor.contradicted_at + SETTLING
    assert settled < now + NS // 4, "fresh enough"
    assert "a is said to have moved by 1.100" in monitor.fault(settled)
    assert monitor.measured[0] == 0.1  # type: ignore[index]
    monitor.update(["a", "b"], [-1.0, 0.2], settled, settled)
    assert monitor.fault(settled) == ""
    assert monitor.measured[0] == -1.0  # type: ignore[index]


def test_a_fast_arm_with_late_and_bunched_messages_is_plausible(monitor: ArmMonitor) -> None:
    """At its limit, without stamps, two messages at a time."""
    for k in range(1, 200):
        measured, now = 10 * NS + k * NS // 100, 10 * NS + (k // 2) * NS // 50 + k
        position = 0.1 + min(2.0 * (measured / NS - 10), 2.5)
        monitor.update(["a", "b"], [position, 0.2], 0, now)
        assert monitor.fault(now) == ""


def test_a_continuous_joint_goes_on_beyond_a_turn() -> None:
    endless = Limits(*(np.array([value]) for value in (-np.inf, np.inf, 2.0, 8.0, 200.0)))
    monitor = ArmMonitor(("a",), endless, NS // 4)
    for k in range(1000):
        angle, now = 0.01 * k, NS + k * NS // 100
        monitor.update(["a"], [(angle + np.pi) % (2 * np.pi) - np.pi], now, now)
        assert monitor.measured == pytest.approx([angle])
        assert monitor.fault(now) == ""


def test_joint_states_of_other_devices_do_not_count(monitor: ArmMonitor) -> None:
    monitor.update(["wheel"], [float("nan")], 11 * NS, 11 * NS)
    assert monitor.fault(10 * NS) == ""
    assert "old" in monitor.fault(11 * NS)


def test_a_clock_that_jumps_back_is_noticed_and_all_is_forgotten(monitor: ArmMonitor) -> None:
    assert monitor.update(["a", "b"], [0.1, 0.2], 1, 1)
    assert monitor.fault(1).startswith("joint states lack ['a', 'b']")
    assert monitor.measured is None


def test_what_is_forgotten_takes_no_turn_of_a_continuous_joint_along() -> None:
    """Else the set points would be a turn away from the arm, and turn it back."""
    endless = Limits(*(np.array([value]) for value in (-np.inf, np.inf, 2.0, 8.0, 200.0)))
    monitor = ArmMonitor(("a",), endless, NS // 4)
    for k in range(500):
        angle, now = 0.015 * k, NS + k * NS // 100
        monitor.update(["a"], [(angle + np.pi) % (2 * np.pi) - np.pi], now, now)
    assert monitor.update(["a"], [angle - 2 * np.pi], NS, NS), "the clock jumped back"
    assert monitor.measured is None
    monitor.update(["a"], [angle - 2 * np.pi], NS + 1, NS + 1)
    assert monitor.measured == pytest.approx([angle])
