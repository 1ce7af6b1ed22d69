# SPDX-License-Identifier: Apache-2.0
"""A joint moves no faster than it can, whatever its messages say."""

import math

import numpy as np
import pytest

from cosmos3_ros.robot.joint_plausibility import contradiction, differences, largest_change

VELOCITY = np.array([2.0, 0.5])


def test_a_moving_arm_is_plausible_at_any_rate_and_with_late_stamps() -> None:
    for seconds in (0.001, 0.01, 0.02, 0.1, 1.0, -0.02):
        change = VELOCITY * abs(seconds)
        assert contradiction("ab", change, seconds, VELOCITY) == ""
    # stamped at publishing: 20 ms of motion within 2 ms
    assert contradiction("ab", VELOCITY * 0.02, 0.002, VELOCITY) == ""


@pytest.mark.parametrize("seconds", [0.001, 0.02, -0.001, 0.1])
def test_a_jump_is_named_with_its_joint(seconds: float) -> None:
    words = contradiction("ab", np.array([0.01, 1.2]), seconds, VELOCITY)
    assert words == (
        f"b is said to have moved by 1.200 within {abs(seconds):.3f} s, limit 0.50 per second"
    )


def test_each_joint_has_its_own_time() -> None:
    change, seconds = np.array([0.4, 0.4]), np.array([0.01, 5.0])
    assert contradiction("ab", change, seconds, VELOCITY).startswith("a is said")
    assert contradiction("ab", change, seconds[::-1].copy(), VELOCITY).startswith("b is said")


def test_the_bound_holds_for_many_messages_at_once() -> None:
    most = largest_change(VELOCITY, np.array([[0.1], [0.2]]))
    assert np.allclose(most, [[0.36, 0.0975], [0.66, 0.1725]])


def test_continuous_joints_go_the_short_way_round() -> None:
    before, after = np.array([3.1, 3.1]), np.array([-3.1, -3.1])
    change = differences(before, after, np.array([True, False]))
    assert np.allclose(change, [2 * math.pi - 6.2, -6.2])
    assert np.allclose(differences(before, after), -6.2)
