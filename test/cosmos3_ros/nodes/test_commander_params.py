# SPDX-License-Identifier: Apache-2.0
"""The commander's parameters: limits from robot file or URDF, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

ARM = {
    "joints": ["a", "b"],
    "lower": [-1.0, -1.0],
    "upper": [1.0, 1.0],
    "velocity": [2.0, 2.0],
    "acceleration": [8.0, 8.0],
    "jerk": [200.0, 200.0],
}


def params(**change: Any) -> Any:
    from cosmos3_ros.nodes.commander_params import Params

    return Params(**ARM | change)


def test_limits_come_from_the_parameters() -> None:
    limits = params().limits()
    assert limits.upper.tolist() == [1.0, 1.0]
    assert limits.jerk.tolist() == [200.0, 200.0]


def described(folder: Path, upper: float = 0.6) -> str:
    """The path of a description of the joints b and a, in this order."""
    joint = (
        '<joint name="{}" type="revolute">'
        '<limit lower="-0.5" upper="{}" velocity="3" effort="1"/></joint>'
    )
    urdf = folder / "robot.urdf"
    urdf.write_text(f"<robot>{joint.format('b', 0.7)}{joint.format('a', upper)}</robot>")
    return str(urdf)


def test_a_robot_description_gives_positions_and_speeds(tmp_path: Path) -> None:
    limits = params(urdf=described(tmp_path), lower=[], upper=[], velocity=[]).limits()
    assert limits.upper.tolist() == [0.6, 0.7]
    assert limits.velocity.tolist() == [3.0, 3.0]
    assert limits.acceleration.tolist() == [8.0, 8.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jerk": [1.0]}, "expected equal lengths"),
        ({"rate": 500.0}, "'rate': expected 15 to 250 Hz, got 500"),
        (
            {"sink": "wire"},
            "'sink': expected joint_trajectory or position_stream or joint_command or tool_pose or "
            "tool_twist, got 'wire'",
        ),
        (
            {"tool_velocity": [1.0]},
            "'tool_velocity': expected two positive numbers, for moving and",
        ),
        ({"tool_acceleration": [1.0, 0.0]}, "'tool_acceleration': expected two positive numbers"),
        ({"keep_out": [1.0]}, "'keep_out': expected nx, ny, nz, d of each plane, got 1 numbers"),
        ({"workspace_upper": [1.0]}, "'workspace_upper': expected x, y and z, got"),
        (
            {"units": ["deg", "yard"]},
            r"'units': expected one of \['rad', 'deg', 'm', 'mm'\] for each",
        ),
        ({"units": ["deg"]}, "for each of the 2 'joints', got"),
        ({"recovery": "hope"}, "'recovery': expected automatic or explicit, got 'hope'"),
        ({"recovery": "explict"}, "got 'explict', did you mean 'explicit'"),
        ({"max_jump": 0.0}, "'max_jump': expected a positive number"),
        ({"watchdog_rows": -1}, "'watchdog_rows': expected 0 or more"),
        ({"realtime_priority": 100}, "'realtime_priority': expected 0 to 99, got 100"),
    ],
)
def test_wrong_parameters_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        params(**change)


def test_limits_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="parameter 'joints' is empty"):
        params(**{name: [] for name in ARM}).limits()
    for change, words in (
        ({"gripper_output": "goal"}, "expected 'position' or 'gripper_command' or 'parallel_"),
        ({"gripper_effort": -1.0}, "gripper_effort: expected 0 or more, got -1.0"),
        ({"gripper_timeout": 0.0}, "'gripper_timeout': expected a positive number, got 0.0"),
        (
            {"gripper_output": "gripper_command", "gripper_proportional": True},
            "'gripper_output': expected 'position' with gripper_proportional",
        ),
        (
            {"gripper_output": "gripper_command", "sink": "joint_command"},
            "'gripper_output': expected 'position' with sink 'joint_command'",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            params(gripper_joint="g", **change)
    with pytest.raises(ValueError, match="gripper_open and gripper_closed are both 1"):
        params(gripper_joint="g", gripper_open=1.0).limits()


def test_of_description_and_parameters_the_tighter_holds_and_is_named(tmp_path: Path) -> None:
    urdf = described(tmp_path)
    limits, source = params(urdf=urdf, lower=[-0.2, -9.0], upper=[]).limits_and_source()
    assert limits.lower.tolist() == [-0.2, -0.5]
    assert limits.upper.tolist() == [0.6, 0.7]
    assert limits.velocity.tolist() == [2.0, 2.0]
    assert source == (
        f"limits: lower from the parameter for a, {urdf} for the others; upper from {urdf}; "
        "velocity from the parameter"
    )


def test_sources_of_limits_that_contradict_are_refused_with_both_names(tmp_path: Path) -> None:
    urdf = described(tmp_path)
    with pytest.raises(ValueError, match=rf"'a' leave no range: {urdf} has -0.5 to 0.6.* 0.65 and"):
        params(urdf=urdf, lower=[0.65, 0.0]).limits()
    with pytest.raises(ValueError, match=r"expected equal lengths, got .*'joints': 2.*'upper': 1"):
        params(urdf=urdf, lower=[], velocity=[], upper=[1.0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    for change in ({"max_jump": value}, {"upper": [1.0, value]}, {"gripper_open": value}):
        with pytest.raises(ValueError, match="expected a finite number, got"):
            params(**change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workspace_lower": [0.0, 0, 0]}, "workspace_lower: parameter 'urdf' is empty"),
        ({"keep_out": [0.0, 0, 1, 0]}, "keep_out: parameter 'urdf' is empty"),
        ({"sink": "tool_pose"}, "sink tool_pose: parameter 'urdf' is empty: expected a robot desc"),
        (
            {"tool_velocity": [1.0, 1.0], "urdf": "arm.urdf"},
            "tool_velocity: parameter 'tool_frame' is empty: expected the tool's frame in it",
        ),
    ],
)
def test_where_the_tool_is_asked_for_it_has_to_be_known(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        params(**change).tool_of_arm()


def test_an_arm_whose_tool_nobody_asks_for_needs_no_pinocchio(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pinocchio", None)
    assert params(urdf=described(tmp_path), tool_frame="hand").tool_of_arm() is None
    assert params().tool_limits(None, params().limits()) is None


def test_a_description_is_read_in_the_units_of_the_topics(tmp_path: Path) -> None:
    path, ends = described(tmp_path), {"lower": [], "upper": [], "velocity": []}
    limits = params(urdf=path, units=["deg", "rad"], **ends).limits()
    assert limits.upper == pytest.approx([np.degrees(0.6), 0.7])
    assert limits.velocity == pytest.approx([np.degrees(3.0), 3.0])


def test_groups_have_their_sinks_and_grippers() -> None:
    both = {"groups": ["left", "right"], "gripper_joints": ["", "grip"]}
    found = params(**both, sinks=["position_stream", "joint_command"], grippers_closed=[9.0, 0.8])
    left, right = found.group_sinks()
    assert [(group.name, group.joints, sink) for group, sink in (left, right)] == [
        ("left", ("a",), "position_stream"),
        ("right", ("b",), "joint_command"),
    ]
    assert found.gripper_ends() == {"grip": (0.0, 0.8)}
    way = params(**both).gripper(right[0])
    assert (way.joint, way.action, way.group) == (
        "grip",
        "right/gripper_controller/gripper_cmd",
        "right",
    )
    alone = params(gripper_joint="grip", gripper_closed=0.8)
    assert alone.gripper_ends() == {"grip": (0.0, 0.8)}
    assert alone.gripper(alone.joint_groups()[0]).action == "gripper_controller/gripper_cmd"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"groups": ["left"]}, "'groups': expected one of each of the 2 'joints'"),
        ({"sinks": ["joint_trajectory"]}, r"'sinks': expected one of each group of 'groups' \[\]"),
        (
            {"groups": ["l", "r"], "sinks": ["joint_trajectory", "position_stream"]},
            "'sinks': expected joint_trajectory for all groups or for none",
        ),
        ({"groups": ["l", "r"], "sinks": ["joint_trajectory", "x"]}, "'sinks': .*got 'x'"),
        (
            {"groups": ["l", "r"], "sinks": ["joint_trajectory", "joint_trajectry"]},
            "'sinks': .*got 'joint_trajectry', did you mean 'joint_trajectory'",
        ),
        ({"groups": ["l", "r"], "gripper_joints": ["g", "g"]}, "distinct names.*got 'g'"),
        ({"groups": ["l", "r"], "gripper_joints": ["a", ""]}, "none of them of 'joints', got 'a'"),
        ({"groups": ["l", "r"], "grippers_open": [0.1]}, "'grippers_open': expected one of each"),
        (
            {
                "groups": ["l", "r"],
                "sinks": ["position_stream", "joint_command"],
                "gripper_output": "gripper_command",
            },
            "'gripper_output': expected 'position' with sink 'joint_command'",
        ),
    ],
)
def test_groups_that_do_not_fit_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        params(**change)
