# SPDX-License-Identifier: Apache-2.0
"""Joint names are put in order and grippers change their unit."""

from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.embodiment.embodiment_file import embodiment_from
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.model.interface import ActionChunk
from cosmos3_ros.robot.joint_map import JointMap, check_mobile_base, joint_groups, map_joints

ROBOT = JointMap(
    ("j1", "j2", "finger"),
    (
        Column("a", "rad"),
        Column("b", "rad"),
        Column("gripper", "rad", gripper=True, opened=0.8, closed=0.0),
    ),
)


def test_states_come_out_in_the_policys_units() -> None:
    state = ROBOT.to_policy(np.array([[1.0, 2.0, 0.2], [1.0, np.nan, 0.9]]))
    assert state[0].tolist() == pytest.approx([1.0, 2.0, 0.75])
    assert np.isnan(state[1, 1]), "what is not known stays unknown"
    assert state[1, 2] == 0.0, "clipped"


def test_a_chunk_comes_out_in_the_robots_names_and_units() -> None:
    chunk = ActionChunk(
        np.array([[0.1, 0.2, 0.0], [0.3, 0.4, 1.5]], np.float32),
        ("a", "b", "gripper"),
        5,
        7,
        ("gripper",),
    )
    out = ROBOT.chunk(chunk)
    assert out.names == ("j1", "j2", "finger")
    assert out.discrete == ("finger",)
    assert out.values[:, 2].tolist() == pytest.approx([0.8, 0.0]), "clipped to 0..1, then scaled"
    assert np.array_equal(out.values[:, :2], chunk.values[:, :2])
    assert (out.stamp, out.step) == (5, 7)


def test_a_map_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="distinct"):
        JointMap(("a", "a"))


def two_arms() -> Embodiment:
    """Each arm's gripper behind its joints, and counted in other units."""
    arm = {"unit": "rad"}
    columns = {
        "left": arm,
        "left_grip": {"unit": "percent", "open": 100.0, "closed": 0.0},
        "right": arm,
        "right_grip": {"unit": "m", "open": 0.04, "closed": 0.0},
    }
    fields = {
        "name": "two",
        "domain": "two",
        "domain_id": 10,
        "kind": "joints",
        "rate": 15.0,
        "horizon": 4,
        "state": columns,
        "canvas": {"views": {"top": [0, 0, 32, 32]}, "composite": [32, 32]},
    }
    return embodiment_from(fields, "two")


JOINTS = ("l1", "lg", "r1", "rg")


def test_every_gripper_has_its_own_unit_and_place() -> None:
    robot = map_joints(two_arms(), JOINTS, ["lg", "rg"])
    assert robot.to_policy(np.array([0.5, 25.0, -0.5, 0.03])).tolist() == pytest.approx(
        [0.5, 0.75, -0.5, 0.25]
    )
    chunk = ActionChunk(
        np.array([[0.1, 1.0, 0.2, 0.5]], np.float32), ("a", "b", "c", "d"), 0, 1, ("b", "d")
    )
    out = robot.chunk(chunk)
    assert out.discrete == robot.grippers == ("lg", "rg")
    assert out.values[0].tolist() == pytest.approx([0.1, 0.0, 0.2, 0.02])
    other = map_joints(two_arms(), JOINTS, ["lg", "rg"], [0.0, 1.0], [0.8, 0.0])
    assert other.chunk(chunk).values[0].tolist() == pytest.approx([0.1, 0.8, 0.2, 0.5])
    with pytest.raises(ValueError, match="rg"):
        robot.check_grippers(np.array([0.0, 50.0, 0.0, 2.0]))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((["rg", "lg"],), r"'gripper_joints' is \['rg', 'lg'\].*has \['lg', 'rg'\]"),
        ((["x"],), r"'gripper_joint' is 'x'.*has \['lg', 'rg'\]"),
        (([],), r"'gripper_joint' is ''.*has \['lg', 'rg'\]"),
        ((["lg", "rg"], [0.1]), r"'grippers_open': expected 2 numbers.*got \[0.1\]"),
        ((["lg", "rg"], [], [100.0, 0.0]), "gripper_open and gripper_closed are both 100.0 .lg"),
    ],
)
def test_grippers_that_do_not_fit_are_refused_with_both_sides(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        map_joints(two_arms(), JOINTS, *wrong)


def test_groups_have_their_joints_in_order_and_their_names_before_topics() -> None:
    left, right = joint_groups(["a", "b", "c"], ["left", "right", "left"], "", ["grip", ""])
    assert (left.joints, left.gripper) == (("a", "c"), "grip")
    assert (right.joints, right.gripper) == (("b",), "")
    assert left.named("arm_controller/joint_trajectory") == "left/arm_controller/joint_trajectory"
    (only,) = joint_groups(["a", "b"], [], "grip", [])
    assert (only.joints, only.gripper, only.named("x")) == (("a", "b"), "grip", "x")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ((["left"], "", []), "'groups': expected one of each of the 2 'joints', got 1"),
        ((["left", "my arm"], "", []), "'groups': expected names as of topics, got 'my arm'"),
        ((["left", "right"], "g", []), "'gripper_joint' is 'g': expected 'gripper_joints'"),
        ((["left", "right"], "", ["g"]), r"of the groups \['left', 'right'\].*got \['g'\]"),
        (([], "", ["g", "h"]), "expected 'groups', too"),
    ],
)
def test_groups_that_do_not_fit_are_refused(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        joint_groups(["a", "b"], *wrong)


MOBILE = embodiment_from(
    {
        "name": "mobile",
        "domain": "mine",
        "domain_id": 24,
        "kind": "joints",
        "rate": 10.0,
        "horizon": 8,
        "canvas": {
            "views": {"front": [0, 0, 64, 64]},
            "composite": [64, 64],
            "content": [64, 64],
            "size": [64, 64],
        },
        "state": {"lift": "m", "forward": "m/s", "turn": "rad/s"},
        "prompt": {"viewpoint": "ego_view"},
    },
    "mobile.yaml",
)


def test_a_base_has_the_columns_that_are_velocities() -> None:
    joints = ("z", "vx", "wz")
    assert check_mobile_base(MOBILE, joints, ("vx", "", "wz")) == ("vx", "wz")
    assert map_joints(MOBILE, joints, ()).to_policy(np.array([1.0, 2.0, 3.0])).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "base", [(), ("vx", "", ""), ("wz", "", "vx"), ("z", "", "wz"), ("vx", "vx", "wz")]
)
def test_a_base_of_other_columns_is_refused_with_both_sides(base: tuple[str, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"'mobile_base' is \[.*velocities where 'joints' has \[\('vx'"
    ):
        check_mobile_base(MOBILE, ("z", "vx", "wz"), base)


def test_a_base_is_three_names() -> None:
    with pytest.raises(ValueError, match="expected three of 'joints'"):
        check_mobile_base(MOBILE, ("z", "vx", "wz"), ("vx", "wz"))


MEASURED = ["x", "y", "z", "hand", "to_x", "to_y", "to_z"]
LED = ["to_x", "to_y", "to_z", "effort"]


def test_joints_that_are_led_need_not_be_those_that_are_measured() -> None:
    units = ["m", "m", "m", "fraction", "mm", "m", "m"]
    robot = map_joints(EMBODIMENTS["metaworld"], MEASURED, ["hand"], [0.9], [0.1], units, LED)
    state = robot.to_policy(np.array([1.0, 2.0, 3.0, 0.1, 40.0, 5.0, 6.0]))
    assert state.tolist() == pytest.approx([1.0, 2.0, 3.0, 1.0, 0.04, 5.0, 6.0])
    rows = np.array([[0.04, 5.0, 6.0, -2.0]], np.float32)
    chunk = robot.chunk(ActionChunk(rows, EMBODIMENTS["metaworld"].action_names, 5, 7))
    assert (chunk.names, chunk.discrete) == (tuple(LED), ())
    assert chunk.values[0].tolist() == pytest.approx([40.0, 5.0, 6.0, -2.0]), "mm as measured"
    assert robot.grippers == ("hand",)


@pytest.mark.parametrize(
    ("embodiment", "joints", "led", "words"),
    [
        ("metaworld", MEASURED, [], r"'led_joints' is \[\]: expected one for each of .*'effort'"),
        ("metaworld", MEASURED, LED[:3], r"state columns .*'opening'"),
        (
            "metaworld",
            MEASURED,
            ["to_x", "to_y", "to_x", "effort"],
            "led_joints: expected distinct",
        ),
        (
            "droid_sim",
            [*MEASURED, "h"],
            LED,
            r"expected one for each of \[\], embodiment droid_sim",
        ),
        ("libero", MEASURED, LED, r"expected one for each of \[\], embodiment libero"),
    ],
)
def test_the_joints_that_are_led_are_named_where_they_are_others_and_only_there(
    embodiment: str, joints: list[str], led: list[str], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        map_joints(EMBODIMENTS[embodiment], joints, ["hand"], led=led)
