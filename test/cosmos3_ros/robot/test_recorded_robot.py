# SPDX-License-Identifier: Apache-2.0
"""A robot file says what is known of the joints in recordings."""

from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.robot.recorded_robot import FASTEST, check_limits, read_robot
from cosmos3_ros.robot.robot_file import config_folder

TEXT = (config_folder() / "droid_single_view.yaml").read_text()
GIVEN = next(line for line in TEXT.splitlines() if line.strip().startswith("velocity:"))


def changed(folder: Path, line: str) -> str:
    path = folder / "robot.yaml"
    path.write_text(TEXT.replace(GIVEN, f"    {line}"))
    return str(path)


def test_limits_of_speed_are_those_of_the_commander_and_grippers_have_none(tmp_path: Path) -> None:
    limits = [2.06] * 4 + [2.48] * 3
    assert read_robot("droid_single_view").velocity.tolist() == [*limits, np.inf]
    assert read_robot(changed(tmp_path, "")).velocity.tolist() == [FASTEST] * 7 + [np.inf]


@pytest.mark.parametrize("there", [True, False])
def test_limits_of_speed_may_come_from_a_robot_description(tmp_path: Path, there: bool) -> None:
    urdf = tmp_path / "robot.urdf"
    if there:
        joints = "".join(
            f"<joint name='panda_joint{k}' type='continuous'><limit velocity='{k}'/></joint>"
            for k in range(1, 8)
        )
        urdf.write_text(f"<robot>{joints}</robot>")
    found = read_robot(changed(tmp_path, f"urdf: {urdf}")).velocity[:7]
    assert found.tolist() == ([*range(1, 8)] if there else [FASTEST] * 7)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            "embodiment: libero, joints: [a]",
            "'gripper_joint' is '' of 'joints' .* but embodiment libero acts by twists and the gr",
        ),
        (
            "embodiment: droid_sim, joints: [a]",
            "'joints' has 1 names .* but embodiment droid_sim has 8 state columns",
        ),
        ("joints: [a]", "expected a policy section with embodiment and joints"),
    ],
)
def test_a_robot_that_does_not_act_by_joints_is_refused(
    tmp_path: Path, policy: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"/**/policy: {{ros__parameters: {{{policy}}}}}")
    with pytest.raises(ValueError, match=words):
        read_robot(str(path))


def test_of_both_limits_of_speed_the_tighter_counts(tmp_path: Path) -> None:
    urdf = tmp_path / "robot.urdf"
    joint = "<joint name='panda_joint{}' type='continuous'><limit velocity='{}'/></joint>"
    urdf.write_text(f"<robot>{''.join(joint.format(k, k / 2) for k in range(1, 8))}</robot>")
    found = read_robot(changed(tmp_path, f"{GIVEN.strip()}\n    urdf: {urdf}")).velocity[:7]
    assert found.tolist() == [0.5, 1.0, 1.5, 2.0, 2.48, 2.48, 2.48]


POLICY = "{{embodiment: droid_sim, joints: [{}], gripper_joint: g, gripper_closed: 0.8}}".format(
    "a, b, c, d, e, f, h, g"
)


@pytest.mark.parametrize("name", ["/**", "policy", "/policy", "/*", "/**/policy", "**"])
def test_the_policy_is_read_from_the_sections_that_its_node_reads(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"'{name}': {{ros__parameters: {POLICY}}}")
    robot = read_robot(str(path))
    assert robot.joints.joints == ("a", "b", "c", "d", "e", "f", "h", "g")
    assert robot.joints.units[-1].closed == 0.8


def test_a_later_section_wins_as_it_does_for_the_node(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"policy: {{ros__parameters: {POLICY}}}\n/**: {{ros__parameters: {{gripper_closed: 0.5}}}}"
    )
    assert read_robot(str(path)).joints.units[-1].closed == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"/left/policy: {{ros__parameters: {POLICY}}}", "expected a policy section with"),
        (
            f"policy: {{ros__parameters: {POLICY.replace('0.8', '.nan')}}}",
            "'gripper_closed': expected a finite number, got nan",
        ),
        (
            f"policy: {{ros__parameters: {POLICY.replace('[a', '[1')}}}",
            "'joints' mixes int and str",
        ),
        (
            f"policy: {{ros__parameters: {POLICY}}}\nremappings: {{ros__parameters: {{a: 1}}}}",
            "a: expected the name of a topic, got 1",
        ),
        ("", "it is empty"),
    ],
)
def test_what_the_node_would_not_take_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_robot(str(path))
    assert str(path) in str(caught.value)


def test_thresholds_of_a_robot_that_counts_in_degrees_have_to_be_given(tmp_path: Path) -> None:
    """The commander compares them with positions of the topics; its defaults are rad."""
    shipped = (config_folder() / "examples" / "so100" / "so100.yaml").read_text()
    embodiment = config_folder() / "examples" / "so100" / "embodiment.yaml"
    robot = tmp_path / "so100.yaml"
    robot.write_text(shipped.replace("embodiment.yaml", str(embodiment)))
    check_limits(robot, read_robot(str(robot)))
    for name in ("max_jump", "max_tracking_error", "clip"):
        lines = [line for line in robot.read_text().splitlines() if f" {name}:" not in line]
        (tmp_path / "less.yaml").write_text("\n".join(lines))
        with pytest.raises(ValueError, match=f"commander: lacks {name}, .* expected them in deg"):
            check_limits(tmp_path / "less.yaml", read_robot(str(robot)))
