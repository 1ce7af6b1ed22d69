# SPDX-License-Identifier: Apache-2.0
"""Every shipped robot can be recorded, and what cannot be recorded is refused."""

from pathlib import Path

import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.robot import topic_names
from cosmos3_ros.robot.recorded_robot import read_robot


def test_every_robot_file_can_be_recorded() -> None:
    names = ("droid_sim", "franka_robotiq", "generic_6axis", "isaac_droid", "droid_single_view")
    for name in names:
        robot = read_robot(name)
        assert robot.name == name
        assert robot.embodiment in EMBODIMENTS.values()
        assert set(topic_names.RECORDED) <= set(robot.topics)
    assert read_robot("franka_robotiq").topics[topic_names.camera("wrist", "compressed")] == (
        "/wrist_camera/color/image_raw/compressed"
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            "embodiment: libero, joints: [a]",
            "acts by .*, expected an embodiment with joint targets",
        ),
        ("embodiment: droid_sim, joints: [a]", "1 joints .* for 8 state columns"),
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
