# SPDX-License-Identifier: Apache-2.0
"""Joint limits come out of a robot description, or one line says why not."""

import math
from pathlib import Path

import pytest

from cosmos3_ros.robot.urdf import (
    JointLimit,
    description_topic,
    movable_joints,
    parse_limits,
    read_limits,
    root_link,
)

ROBOT = """<robot name="r">
  <joint name="a" type="revolute"><limit lower="-1.5" upper="2" velocity="3" effort="40"/></joint>
  <joint name="b" type="revolute"><limit lower="-1" upper="1" velocity="2" effort="9"/>
    <safety_controller soft_lower_limit="-0.9" soft_upper_limit="5" k_velocity="1"/></joint>
  <joint name="c" type="continuous"><limit velocity="1" effort="1"/></joint>
  <joint name="d" type="fixed"/>
  <joint name="e" type="revolute"><limit lower="0" upper="1"/></joint>
  <joint name="f" type="revolute"><limit lower="zero" upper="1" velocity="1"/></joint>
</robot>"""


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    path = tmp_path / "robot.urdf"
    path.write_text(ROBOT)
    return path


def test_limits_are_read_in_the_order_asked_for(robot: Path) -> None:
    b, a, c = read_limits(robot, ["b", "a", "c"])
    assert a == JointLimit(-1.5, 2.0, 3.0, 40.0)
    assert (b.lower, b.upper) == (-0.9, 1.0), "the soft limit where it is tighter"
    assert (c.lower, c.upper) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (["x"], r"lacks the joints \['x'\]"),
        (["d"], "joint 'd' is fixed, expected one of"),
        (["e"], "joint 'e' has velocity nan, expected a positive number"),
        (["f"], "joint 'f': lower is 'zero', expected a number"),
    ],
)
def test_missing_limits_are_named(robot: Path, joints: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_limits(robot, joints)


def test_joints_that_move_by_themselves_are_listed() -> None:
    mimic = '<joint name="g" type="prismatic"><mimic joint="a"/></joint>'
    text = ROBOT.replace("</robot>", f"{mimic}</robot>")
    assert movable_joints(text, "r.urdf") == ["a", "b", "c", "e", "f"]
    with pytest.raises(ValueError, match=r"'r.urdf' is <sdf>, expected a URDF"):
        movable_joints("<sdf/>", "r.urdf")


def test_the_root_is_the_one_link_that_nothing_carries() -> None:
    links = '<link name="hand"/><link name="base"/>'
    joint = '<joint name="j" type="fixed"><parent link="base"/><child link="hand"/></joint>'
    assert root_link(f"<robot>{links}{joint}</robot>", "r.urdf") == "base"
    with pytest.raises(ValueError, match=r"'r.urdf': expected one link .* got \['hand', 'base'\]"):
        root_link(f"<robot>{links}</robot>", "r.urdf")


def test_a_file_that_is_no_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.urdf").write_bytes(b"\x80not xml\x00")
    for name in ("r.urdf", "nowhere.urdf"):
        with pytest.raises(ValueError, match=f"{name}' cannot be read"):
            read_limits(tmp_path / name, ["a"])


JOINT = """<joint name="a" type="revolute"><parent link="p"/><child link="c"/>
    <limit lower="-2" upper="2" velocity="1.5" effort="9"/></joint>"""
BLOCKS = {
    "ros2_control": """<ros2_control name="arm" type="system"><joint name="a"><command_interface
        name="position"><param name="min">-1</param></command_interface></joint></ros2_control>""",
    "transmission": """<transmission name="t"><type>simple</type><joint name="a">
        <hardwareInterface>PositionJointInterface</hardwareInterface></joint></transmission>""",
    "gazebo": """<gazebo><plugin name="g"><joint name="a" type="fixed"/></plugin></gazebo>""",
    "sensor": """<gazebo reference="a"/><joint name="b" type="fixed"/>""",
}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_that_name_the_joints_again_do_not_disturb(
    block: str, order: tuple[int, int]
) -> None:
    parts = (JOINT, BLOCKS[block])
    robot = f"<robot name='r'>{parts[order[0]]}{parts[order[1]]}</robot>"
    assert parse_limits(robot, ["a"], "it") == [JointLimit(-2.0, 2.0, 1.5, 9.0)]


def test_a_joint_that_only_a_block_names_is_missing() -> None:
    with pytest.raises(ValueError, match=r"'it' lacks the joints \['a'\]; it has \['z'\]"):
        parse_limits(f"<robot>{BLOCKS['ros2_control']}<joint name='z'/></robot>", ["a"], "it")


def limited(limit: str, more: str = "", kind: str = "revolute") -> str:
    return f"<robot><joint name='a' type='{kind}'><limit {limit}/>{more}</joint></robot>"


@pytest.mark.parametrize(
    ("robot", "words"),
    [
        (f"<robot>{JOINT}{JOINT}</robot>", r"more than one joint of the names \['a'\]"),
        (
            limited("lower='-1' upper='1' velocity='1'", "<mimic joint='b' multiplier='-1'/>"),
            "joint 'a' mimics 'b', expected a joint that moves by itself",
        ),
        (limited("lower='1' upper='-1' velocity='1'"), "lower 1.0, upper -1.0; expected lower < u"),
        (limited("lower='1' upper='1' velocity='1'"), "lower 1.0, upper 1.0; expected lower < u"),
        (limited("velocity='1'"), "lower 0.0, upper 0.0; expected lower < upper"),
        (limited("lower='-1' upper='inf' velocity='1'"), "upper inf; expected"),
        (limited("lower='-1' upper='nan' velocity='1'"), "joint 'a': upper is 'nan', expected a n"),
        (limited("lower='-${pi}' upper='1' velocity='1'"), r"lower is '-\$\{pi\}', expected a num"),
        (limited("lower='-1' upper='1' velocity='0'"), "velocity 0.0, expected a positive number"),
        (limited("lower='-1' upper='1' velocity='-2'"), "velocity -2.0, expected a positive num"),
        (limited("lower='-1' upper='1' velocity='inf'"), "velocity inf, expected a positive num"),
        (limited("lower='-1' upper='1' velocity='nan'"), "velocity is 'nan', expected a number"),
        (limited("lower='-1' upper='1'", kind="prismatic"), "has velocity nan"),
        (
            limited(
                "lower='-1' upper='1' velocity='1'", "<safety_controller soft_lower_limit='2'/>"
            ),
            r"lower 2.0, upper 1.0; expected lower < upper \(its soft limits included\)",
        ),
        (limited("velocity='1'", kind="floating"), "joint 'a' is floating, expected one of"),
        ("<robot><joint name='a' type='continuous'/></robot>", "'a' has no <limit>"),
        ("<sdf><joint name='a'/></sdf>", "'it' is <sdf>, expected a URDF"),
        ("", "'it' cannot be read: it is not XML"),
        ("<robot>", "'it' cannot be read: it is not XML"),
    ],
)
def test_what_is_wrong_with_a_joint_is_one_line(robot: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_limits(robot, ["a"], "it")
    assert "\n" not in str(caught.value)


def test_xacro_files_say_what_to_run(tmp_path: Path) -> None:
    namespace = "xmlns:xacro='http://www.ros.org/wiki/xacro'"
    path = tmp_path / "arm.urdf.xacro"
    for robot in (
        f"<robot {namespace}><xacro:include filename='arm.xacro'/>{JOINT}</robot>",
        f"<robot><xacro:arm name='x'/>{JOINT}</robot>",
    ):
        path.write_text(robot)
        with pytest.raises(ValueError, match=f"is a xacro file; .* `xacro {path} > robot.urdf`"):
            read_limits(path, ["a"])
    path.write_text(f"<robot {namespace}><!-- <xacro:arm/> -->{JOINT}</robot>")
    assert read_limits(path, ["a"])[0].velocity == 1.5, "what xacro made of it"


def test_sources_that_are_no_files(tmp_path: Path) -> None:
    assert description_topic("topic:///robot_description") == "/robot_description"
    assert description_topic("topic://left/robot_description") == "left/robot_description"
    assert description_topic("/path/robot.urdf") == ""
    with pytest.raises(ValueError, match=r"package:// is not followed; expected the path"):
        read_limits("package://arm_description/urdf/arm.urdf", ["a"])
    with pytest.raises(ValueError, match="cannot be read"):
        read_limits(tmp_path, ["a"])
