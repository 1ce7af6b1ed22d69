# SPDX-License-Identifier: Apache-2.0
"""The gripper opens or closes, not in between unless it is proportional, and not too often."""

from cosmos3_ros.execution.gripper import Gripper, Grippers
from cosmos3_ros.model.interface import NS


def test_the_gripper_has_hysteresis_and_dwell() -> None:
    gripper = Gripper(0.1, 0.9, NS)  # closed at 0.9
    assert gripper.decide(None, 0) is None
    says = [(0.55, 0, 0.9), (0.45, 1, 0.9), (0.4, 2, 0.9), (0.1, 3, 0.9), (None, 4, 0.9)]
    for wanted, now, expected in says:
        assert gripper.decide(wanted, now) == expected
    assert gripper.decide(0.1, NS) == 0.1, "after the dwell"
    assert gripper.decide(0.57, 3 * NS) == 0.1
    assert gripper.decide(0.6, 3 * NS) == 0.9
    gripper.forget()
    assert gripper.decide(None, 4 * NS) is None


def test_a_proportional_gripper_goes_where_it_is_wanted() -> None:
    gripper = Gripper(1.0, -1.0, NS, proportional=True)
    assert gripper.decide(None, 0) is None
    for wanted, expected in ((0.25, 0.25), (-0.6, -0.6), (-3.0, -1.0), (1.5, 1.0), (None, 1.0)):
        assert gripper.decide(wanted, 0) == expected, "at any time"
    gripper.forget()
    assert gripper.decide(None, 1) is None


def test_several_grippers_are_decided_apart() -> None:
    grippers = Grippers({"left": Gripper(0.0, 0.8, NS), "right": Gripper(1.0, 0.0, NS)})
    assert grippers.decide({}, 0) == {}
    assert grippers.decide({"left": 0.7}, 0) == {"left": 0.8}
    assert grippers.decide({"left": 0.0, "right": 0.9}, 1) == {"left": 0.8, "right": 1.0}
    grippers.forget()
    assert grippers.decide({"right": 0.0}, 2) == {"right": 0.0}
