# SPDX-License-Identifier: Apache-2.0
"""A joint whose encoder repeats one number while the others move."""

import numpy as np

from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.frozen_joint import FrozenJoints

JOINTS = ["a", "b", "c", "d", "finger"]


def play(rows, joints=None):
    joints = joints or FrozenJoints(JOINTS, ("finger",))
    return [joints.look(np.array(row), round(0.1 * NS * number)) for number, row in enumerate(rows)]


def swing(frozen=(), seconds=8):
    rows = np.tile(np.sin(np.arange(seconds * 10) / 10)[:, None], 5)
    rows[:, 4] = 0.8  # a gripper rests
    rows[:, list(frozen)] = 0.25
    return rows


def test_an_arm_that_moves_is_no_news():
    assert not any(play(swing()))
    assert not any(play(np.tile(swing()[:1], (80, 1))))  # nor one that rests
    alone = swing((1, 2, 3))
    assert not any(play(alone))  # nor one that moves a single joint


def test_a_joint_that_stays_while_the_others_move_is_named():
    said = play(swing((1,)))
    assert not any(said[:50])
    assert said[60].startswith("b has said 0.2500 for 6.0 s while the others moved")


def test_it_is_over_when_the_joint_moves():
    joints = FrozenJoints(JOINTS, ("finger",))
    rows = np.concatenate([swing((1,)), swing()])
    assert any(play(rows, joints)[:80])
    assert not any(play(rows)[81:120])
    joints.forget()
    assert not any(play(swing((1,))[:49], joints))


def test_unknown_positions_are_no_positions():
    rows = swing((1,))
    rows[:, 1] = np.nan
    assert not any(play(rows))
