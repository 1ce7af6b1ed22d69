# SPDX-License-Identifier: Apache-2.0
"""A robot file may remap what a node of the graph uses, and nothing else."""

import re
from pathlib import Path

import pytest

from cosmos3_ros.bringup.graph_options import Options
from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros


def robot(tmp_path: Path, *names: str, base: str = "franka_robotiq", more: str = "") -> Options:
    """A robot of `config` whose file remaps these names."""
    text = (config_folder() / f"{base}.yaml").read_text().partition("\nremappings:")[0]
    rules = "".join(f"    {name}: /x{number}\n" for number, name in enumerate(names))
    path = tmp_path / "mine.yaml"
    path.write_text(f"{text}\n{more}\nremappings:\n  ros__parameters:\n{rules}")
    return Options(str(path), sim=base.endswith("_sim"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("joint_statez", "'joint_statez', did you mean 'joint_states'?"),
        ("/joint_statez", "'/joint_statez', did you mean 'joint_states'?"),
        ("camera/wirst/image_raw", "did you mean 'camera/wrist/image_raw'?"),
        ("camera/wrist/image_rw", "did you mean 'camera/wrist/image_raw'?"),
        ("commander/armm", "did you mean 'commander/arm'?"),
        ("cosmos3/execute_tsk", "did you mean 'cosmos3/execute_task'?"),
        ("lefft/arm_controller/joint_trajectory", "'left/arm_controller/joint_trajectory'?"),
        ("qwxyz", "no node uses the name 'qwxyz'; expected names of docs/graph.md"),
    ],
)
def test_a_name_that_no_node_uses_is_refused_with_the_nearest(
    name: str, said: str, tmp_path: Path
) -> None:
    from cosmos3_ros.bringup.node_graph import processes

    options = robot(tmp_path, "joint_states", name)
    place = re.escape(f"{options.robot}, line ") + r"\d+: remappings: no node uses the name "
    with pytest.raises(ValueError, match=place) as refused:
        processes(options)
    assert said in str(refused.value)


@pytest.mark.parametrize("base", ["franka_robotiq", "droid_sim"])
def test_what_a_node_uses_may_be_remapped(base: str, tmp_path: Path) -> None:
    from cosmos3_ros.bringup.node_graph import processes

    names = (
        *("joint_states", "/joint_states", "/robot_1/joint_states", "policy:joint_states"),
        *("camera/wrist/image_raw", "camera/exterior_2/image_raw/compressed", "odom"),
        *("arm_controller/joint_trajectory", "right/gripper_controller/commands"),
        *("gripper_controller/gripper_cmd", "left/gripper_controller/gripper_cmd", "my/grip"),
        *("reasoner/ask", "/commander/arm", "~/stop", "sim/reset_task", "policy/get_parameters"),
        *("cosmos3/execute_task", "cosmos3/execute_task/_action/send_goal"),
        *("tf", "/tf_static", "/clock", "/diagnostics", "set_simulation_state", "/rosout"),
    )
    grip = "/commander:\n  ros__parameters:\n    gripper_action: my/grip\n"
    options = robot(tmp_path, *names, base=base, more=grip)
    remapped = dict(processes(options)[0].remappings)
    assert {*names} <= remapped.keys()


def test_what_is_recorded_under_a_name_that_nobody_uses_is_refused_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    mine = robot(tmp_path, "joint_statez").robot
    assert main(["record", str(tmp_path / "bag"), "--robot", mine]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {mine}, line ")
    assert "'joint_statez', did you mean 'joint_states'?" in line
    assert not (tmp_path / "bag").exists()


def test_cameras_of_an_embodiment_that_the_checkpoint_says_are_not_known(tmp_path: Path) -> None:
    from cosmos3_ros.bringup.node_graph import processes

    path = tmp_path / "mine.yaml"
    path.write_text("remappings:\n  ros__parameters:\n    camera/nose/image_raw: /x\n")
    alone = Options(str(path), sim=False, commander=False, reasoner=False, checkpoint="/x")
    (policy,) = processes(alone)
    assert policy.remappings[0] == ("camera/nose/image_raw", "/x")
