# SPDX-License-Identifier: Apache-2.0
"""Of a robot's description and its robot file the tighter limit holds, and it is said which."""

import math

import pytest

from cosmos3_ros.robot.joint_limits import tighter
from cosmos3_ros.robot.urdf import JointLimit

DESCRIBED = [JointLimit(-3.0, 3.0, 3.1, 9.0), JointLimit(-math.inf, math.inf, 1.0, 9.0)]
NONE: dict[str, list[float]] = {"lower": [], "upper": [], "velocity": []}


def test_each_limit_of_each_joint_is_the_tighter_one() -> None:
    own = {"lower": [-0.5, -9.0], "upper": [4.0, 2.0], "velocity": [0.2, 5.0]}
    found, words = tighter(["a", "b"], DESCRIBED, own, "robot.urdf")
    assert found == {"lower": [-0.5, -9.0], "upper": [3.0, 2.0], "velocity": [0.2, 1.0]}
    assert words == (
        "lower from the parameter; upper from the parameter for b, robot.urdf for the others; "
        "velocity from the parameter for a, robot.urdf for the others"
    )


def test_without_own_limits_those_of_the_description_hold() -> None:
    found, words = tighter(["a", "b"], DESCRIBED, NONE, "robot.urdf")
    assert found["upper"] == [3.0, math.inf]
    assert words == "lower from robot.urdf; upper from robot.urdf; velocity from robot.urdf"


def test_limits_that_leave_no_range_are_refused_with_both_sources() -> None:
    own = NONE | {"lower": [3.5, -1.0]}
    with pytest.raises(
        ValueError,
        match=r"limits of 'a' leave no range: robot.urdf has -3.0 to 3.0, the parameters lower and "
        r"upper have 3.5 and no",
    ):
        tighter(["a", "b"], DESCRIBED, own, "robot.urdf")
