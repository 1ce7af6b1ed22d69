# SPDX-License-Identifier: Apache-2.0
"""A robot file says what is known of the joints in recordings."""

from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.robot.recorded_robot import FASTEST, read_robot
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
