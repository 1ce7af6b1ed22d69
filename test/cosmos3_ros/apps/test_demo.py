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
    assert SIMULATED == ["droid_sim", "droid_single_view", "isaac_droid"]


@pytest.mark.parametrize("robot", [p.stem for p in ROBOTS if p.stem not in SIMULATED])
def test_a_robot_that_the_simulation_is_not_is_refused_before_anything_starts(
    robot: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cosmos3_ros.cli import main

    assert main(["demo", "--robot", robot, "--out", str(tmp_path / "out")]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: robot {robot}: the embedded simulation has no ")
    assert "as droid_sim has them" in line
    assert not (tmp_path / "out").exists()


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
