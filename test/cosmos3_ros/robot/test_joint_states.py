# SPDX-License-Identifier: Apache-2.0
"""Messages of several publishers are merged per joint; what is missing is listed both ways."""

import math

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.joint_states import MOST_OTHERS, JointStates


def robot() -> JointStates:
    return JointStates(("j1", "j2", "finger"))


def test_each_joint_keeps_its_own_value_and_stamp() -> None:
    states = robot()
    assert states.update(["j2", "j1"], [2.0, 1.0], 10 * NS) == ("j2", "j1")
    assert (states.missing, states.stamp) == (("finger",), None)
    assert np.array_equal(states.positions, [1.0, 2.0, math.nan], equal_nan=True)
    assert states.update(["finger", "wheel"], [0.5, math.nan], 9 * NS) == ("finger",)
    assert (states.missing, states.stamp) == ((), 9 * NS)
    assert states.ages(11 * NS) == {"j1": 1.0, "j2": 1.0, "finger": 2.0}
    assert states.update(["j1"], [1.5], 11 * NS) == ("j1",)
    assert states.positions.tolist() == [1.5, 2.0, 0.5]
    states.forget()
    assert states.missing == ("j1", "j2", "finger")


def test_a_stamp_that_does_not_grow_changes_nothing() -> None:
    states = robot()
    states.update(["j1"], [1.0], 10)
    for stamp in (10, 9):
        assert states.update(["j1", "j2"], [5.0, 2.0], stamp) in (("j2",), ())
    assert states.positions.tolist()[:2] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("names", "positions"),
    [
        (["j1", "j2"], []),  # velocities or efforts only
        ([], []),
        (["wheel"], [math.nan]),
        (["wheel", "lift"], [1.0]),
        (["wheel"], [1.0, 2.0, 3.0]),
    ],
)
def test_a_message_that_says_nothing_about_the_joints_is_nothing(
    names: list[str], positions: list[float]
) -> None:
    states = robot()
    assert states.update(names, positions, 10) == ()
    assert states.missing == states.joints


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["j1", "j2"], [0.0], "2 names but 1 positions"),
        (["j1"], [0.0, 1.0], "1 names but 2 positions"),
        (["j1", "j2"], [0.0, math.nan], r"\['j2'\] is not finite"),
        (["j1", "j2"], [-math.inf, 0.0], r"\['j1'\] is not finite"),
        (["j1", "j2", "j1"], [0.0, 0.0, 1.0], r"\['j1'\] more than once"),
    ],
)
def test_nothing_of_a_wrong_message_is_taken(
    names: list[str], positions: list[float], words: str
) -> None:
    states = robot()
    with pytest.raises(ValueError, match=words):
        states.update(names, positions, 10)
    assert states.missing == states.joints


def test_words_list_what_is_missing_and_what_was_heard_instead() -> None:
    states = robot()
    assert states.fault(NS, NS) == "no joint states yet"
    states.update(["joint_1", "j2", "thumb"], [0.0, 0.0, 0.0], 0)
    lacks = "joint states lack ['j1', 'finger']; heard instead: ['joint_1', 'thumb']"
    assert states.fault(NS, NS) == lacks
    states.update(["j1"], [0.0], NS)
    states.update(["finger"], [0.0], 3 * NS)
    assert states.fault(NS, 3 * NS) == ""
    assert states.fault(NS + 2, NS) == (
        "joint states of ['j2', 'finger'] are 2.00 s in the future, limit 1.00 s"
    )
    states.update(["j1", "finger"], [0.0, 0.0], 4 * NS)
    old = "joint states of ['j2'] are 4.00 s old, limit 1.00 s"
    assert states.fault(4 * NS, NS) == old
    assert states.fault(9 * NS, NS) == "joint states are 9.00 s old, limit 1.00 s"


def test_names_of_others_take_no_more_than_some_memory() -> None:
    states = robot()
    for k in range(1000):
        states.update([f"other_{k}"], [0.0], k)
    assert len(states.others) == MOST_OTHERS
