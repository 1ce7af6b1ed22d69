# SPDX-License-Identifier: Apache-2.0
"""The scripted expert of a scene file over DDS, with a robot whose topics speak degrees."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]

HERE = Path(__file__).parents[2] / "sim" / "scene_file"


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A robot file whose scene lies elsewhere, seen from the robot file."""
    scene = Path("..") / HERE.relative_to(HERE.parents[1]) / "scene.yaml"
    (tmp_path / "robot").mkdir()
    (tmp_path / "sim").symlink_to(HERE.parent)
    text = f"/**/sim:\n  ros__parameters:\n    scene: {scene}\n    task: bow\n"
    (tmp_path / "robot" / "mine.yaml").write_text(text)
    return tmp_path / "robot" / "mine.yaml"


def test_the_expert_moves_the_robot_by_its_topics(robot: Path, start, watcher, wait_until) -> None:
    from cosmos3_ros.ros import topics

    states, trajectories, grips = [], [], []
    for topic, kept in (
        (topics.JOINT_STATES, states),
        (topics.TRAJECTORY, trajectories),
        (topics.GRIPPER, grips),
    ):
        watcher.create_subscription(topic.type, topic.name, kept.append, 1000)
    nodes = ("--no-policy", "--no-reasoner", "--no-commander")
    start("cosmos3", "run", "--robot", robot, *nodes)
    shown = start("cosmos3", "demonstrate", "--robot", robot, "--episodes", "2", "--seed", "5")
    shown.wait_for("2 of 2 solved")
    assert "bow, seed 5: solved" in shown.output
    assert shown.process.wait(20) == 0
    positions = np.array([state.position for state in states])
    assert states[0].name == ["turn", "bow", "grip"]
    assert np.abs(positions[-1, :2] - [-30.0, 40.0]).max() < 1.0  # deg
    assert positions[:, 2].max() > 95.0  # percent, open
    assert abs(positions[-1, 2]) < 5.0
    assert [list(message.joint_names) for message in trajectories] == [["turn", "bow"]] * 2
    assert [message.data[0] for message in grips] == [100.0, 0.0] * 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--robot", "droid_sim"), "expected a scene file (scene of sim)"),
        (("--task", "dance"), "task: expected one of bow, got 'dance'"),
        (("--episodes", "0"), "error: --episodes: expected 1 or more, got 0\n"),
        (("--seed", "-1"), "error: --seed: expected 0 or more, got -1\n"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    robot: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str], expected: str
) -> None:
    from cosmos3_ros.cli import main

    assert main(["demonstrate", "--robot", str(robot), *words]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1
