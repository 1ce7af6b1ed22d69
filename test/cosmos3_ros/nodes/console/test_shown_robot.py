# SPDX-License-Identifier: Apache-2.0
"""What the page is told of a robot file: joints, limits, views, tasks, robot description."""

import json
from pathlib import Path

import pytest

from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros


@pytest.mark.parametrize("path", sorted(config_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_robot_can_be_shown(path: Path) -> None:
    from cosmos3_ros.nodes.console.shown_robot import read_shown

    shown = read_shown(str(path), simulation=False)
    value = json.loads(json.dumps(shown.value(control=False), allow_nan=False))
    assert [panel["view"] for panel in value["panels"]] == list(shown.canvas.views)
    assert [joint["name"] for joint in value["joints"]] == list(shown.recorded.joints.joints)
    arm = [joint for joint in value["joints"] if not joint["gripper"]]
    assert all(joint["lower"] is None or joint["lower"] < joint["upper"] for joint in arm)


def test_the_simulated_arm_has_its_limits_tasks_and_description() -> None:
    from cosmos3_ros.nodes.console.robot_model import read_model
    from cosmos3_ros.nodes.console.shown_robot import read_shown

    shown = read_shown("droid_sim", simulation=True)
    value = shown.value(control=True)
    first, gripper = value["joints"][0], value["joints"][-1]
    assert (first["name"], first["lower"], first["upper"]) == ("panda_joint1", -2.8973, 2.8973)
    assert (gripper["gripper"], gripper["lower"], gripper["upper"]) == (True, 0.0, 0.8)
    assert "bowl" in value["tasks"]
    assert shown.urdf is not None
    model = read_model(shown.urdf.read_text(), shown.urdf.parent)
    assert f'link name="{shown.tool}"' in model.urdf
    for joint in value["joints"][:-1]:
        assert f'joint name="{joint["name"]}"' in model.urdf
