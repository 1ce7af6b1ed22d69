# SPDX-License-Identifier: Apache-2.0
"""The demo with every robot file: it sees the simulation and arms, or says at once why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.robot.robot_file import config_folder, read_joints
from cosmos3_ros.sim.arm_constants import JOINTS
from cosmos3_ros.sim.camera_table import VIEWS

pytestmark = pytest.mark.ros

ROBOTS = sorted(config_folder().glob("*.yaml"))
SIMULATED = [path.stem for path in ROBOTS if set(read_joints(path, "commander")) <= {*JOINTS}]


def test_robots_with_the_joints_of_the_simulation_are_known() -> None:
    assert SIMULATED == ["droid_sim", "droid_sim_poses", "droid_single_view", "isaac_droid"]


def test_a_robot_file_of_a_world_is_refused_with_what_plays_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    assert main(["demo", "--robot", "metaworld", "--out", str(tmp_path / "out")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: robot metaworld: plays the world metaworld, ")
    assert line.endswith("expected cosmos3 eval CHECKPOINT --env metaworld --through nodes")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--episodes", "0"), "--episodes: expected 1 or more, got 0"),
        (("--time-limit", "0"), "--time-limit: expected more than 0 seconds, got 0"),
        (("--checkpoint", "FOLDER"), "checkpoint: FOLDER has no transformer/: expected a checkpoi"),
        (("--checkpoint", "FOLDER", "--task", "lift"), "checkpoint: FOLDER has no transformer/: "),
    ],
)
def test_the_one_option_that_cannot_be_is_named_before_anything_starts(
    words: tuple[str, ...], said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    dataset = tmp_path / "data"
    (dataset / "meta").mkdir(parents=True)
    words = tuple(word.replace("FOLDER", str(dataset)) for word in words)
    assert main(["demo", "--out", str(tmp_path / "out"), *words]) == 1
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: " + said.replace("FOLDER", str(dataset)))
    assert not (tmp_path / "out").exists()


OTHERS = [path.stem for path in ROBOTS if path.stem not in (*SIMULATED, "metaworld")]


@pytest.mark.parametrize("robot", OTHERS)
def test_a_robot_that_the_simulation_is_not_is_refused_before_anything_starts(
    robot: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    assert main(["demo", "--robot", robot, "--out", str(tmp_path / "out")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: robot {robot}: the embedded simulation has no ")
    assert "as droid_sim has them" in line
    assert not (tmp_path / "out").exists()


def test_it_runs_the_tasks_that_the_checkpoint_was_trained_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.apps.demo import choose_tasks
    from cosmos3_ros.model.checkpoint_io.trained_tasks import write_trained_tasks

    basic = tmp_path / "basic"
    basic.mkdir()
    write_trained_tasks(basic, ("reach", "lift", "push"))
    assert choose_tasks("", "") == ["reach", "lift", "push", "bowl", "drawer"]
    said = capsys.readouterr().out
    assert "was trained for reach, lift, push, bowl, drawer, " in said
    assert said.endswith("; here reach, lift, push, bowl, drawer\n")
    with pytest.raises(ValueError, match="was not trained for stack: expected some of reach, li"):
        choose_tasks("reach,stack", str(basic))
    assert choose_tasks("lift,lift_small", "") == ["lift", "lift_small"]
    assert "knows the words of lift_small, but not such scenes" in capsys.readouterr().out
    with pytest.raises(ValueError, match="was not trained for stack, close_drawer, lift_turning"):
        choose_tasks("stack,lift_edge,close_drawer,lift_turning", str(basic))
    assert choose_tasks("stack,lift", "") == ["stack", "lift"]
    with pytest.raises(ValueError, match="does not say what it was trained for: expected --task"):
        choose_tasks("", str(tmp_path))
    assert choose_tasks("stack", str(tmp_path)) == ["stack"]
    assert "names no tasks that it was trained for; tries stack" in capsys.readouterr().out
    write_trained_tasks(tmp_path, ("drawer", "a task of another simulation"))
    assert choose_tasks("", str(tmp_path)) == ["drawer"]
    with pytest.raises(ValueError, match="was not trained for lift: expected some of drawer"):
        choose_tasks("lift", str(tmp_path))
    with pytest.raises(ValueError, match="no folder"):
        choose_tasks("", str(tmp_path / "nobody"))


@pytest.mark.sim
@pytest.mark.parametrize("robot", SIMULATED)
def test_the_demo_sees_and_arms_the_simulation_as_any_robot(
    robot: str, start: Callable[..., Any], wait_until: Callable[..., None]
) -> None:
    """Under the names of the robot file, and through its controllers."""
    from std_srvs.srv import SetBool

    from cosmos3_ros.apps.demo import watching
    from cosmos3_ros.bringup.node_graph import Options, processes

    options = Options(robot=robot, policy=False, reasoner=False)
    for process in processes(options):
        start(process.executable, *process.arguments())
    with watching(options) as recorder:
        wait_until(lambda: recorder.images.keys() == {*VIEWS}, "a picture of every camera")
        wait_until(lambda: recorder.measured and recorder.commander, "joints and commander")

        def is_armed() -> bool:
            return recorder.call(SetBool, "commander/arm", data=True).success

        wait_until(is_armed, "arming")
