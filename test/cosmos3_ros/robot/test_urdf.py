# SPDX-License-Identifier: Apache-2.0
"""Joint limits come out of a robot description, or one line says why not."""

import math
from pathlib import Path

import pytest

from cosmos3_ros.robot.urdf import JointLimit, read_limits

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
        (["d"], "joint 'd' has no <limit>"),
        (["e"], "'e' has lower 0.0, upper 1.0, velocity nan"),
        (["f"], "limits of joint 'f': could not convert"),
    ],
)
def test_missing_limits_are_named(robot: Path, joints: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_limits(robot, joints)


def test_a_file_that_is_no_description_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.urdf").write_text("not xml")
    for name in ("r.urdf", "nowhere.urdf"):
        with pytest.raises(ValueError, match=f"{name}' cannot be read"):
            read_limits(tmp_path / name, ["a"])
