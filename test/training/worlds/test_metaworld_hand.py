# SPDX-License-Identifier: Apache-2.0
"""Where Meta-World's actions add up to."""

import numpy as np
import pytest

from cosmos3_ros.training.worlds.metaworld_hand import CommandedHand

TOLD = np.array([0.1, 0.6, 0.2, 0.75])  # hand, m, and how far it is open


@pytest.fixture
def hand():
    begun = CommandedHand()
    begun.begin(TOLD)
    return begun


def test_an_episode_begins_where_the_hand_is_with_open_fingers(hand):
    assert hand.command.tolist() == [0.1, 0.6, 0.2, -1.0]
    state = hand.state(TOLD)
    assert state.dtype == np.float32
    assert state == pytest.approx([0.1, 0.6, 0.2, 0.25, 0.1, 0.6, 0.2])


def test_actions_add_up_as_they_are_clipped(hand):
    told = hand.take(np.array([3.0, -0.25, 0.5, 0.6]))
    assert told.dtype == np.float32
    assert told == pytest.approx([1.0, -0.25, 0.5, 0.6])
    assert hand.command == pytest.approx([0.11, 0.5975, 0.205, 0.6])
    assert hand.state(TOLD)[:3] == pytest.approx(TOLD[:3])  # the hand itself may be behind


def test_a_command_is_approached_by_a_centimetre_an_axis(hand):
    target = np.array([0.3, 0.6, 0.195, 2.0])
    action = hand.to_action(target)
    assert action == pytest.approx([1.0, 0.0, -0.5, 1.0])
    assert hand.to_command(action) == pytest.approx([0.11, 0.6, 0.195, 1.0])
    assert hand.command[0] == 0.1  # nothing was taken


def test_commands_stay_within_the_workspaces(hand):
    for _ in range(100):
        hand.take(np.array([1.0, 1.0, -1.0, 0.0]))
    assert hand.command[:3].tolist() == [0.5, 1.0, -0.15]
