# SPDX-License-Identifier: Apache-2.0
"""Two arms as a robot file: recorded, converted, and driven by a policy, in simulated time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]

ROBOT, TASK, SEED = "two_arms_sim", "lift_bar", 3


def expert_rows() -> np.ndarray:
    """What the expert does in the simulation of this process, grippers in rad: [H, 16]."""
    from cosmos3_ros.sim.arm_constants import FINGER_CLOSED
    from cosmos3_ros.sim.env import Env
    from cosmos3_ros.sim.expert import Expert

    env, actions = Env(views=()), []
    env.reset(TASK, SEED)
    expert = Expert(env.simulation)
    while not env.success:
        actions.append(expert.act())
        env.move(actions[-1])
    rows = np.array(actions + 10 * actions[-1:], np.float32)
    rows[:, 7::8] *= FINGER_CLOSED
    return rows


class Watched:
    """Keeps what comes by some topics."""

    def __init__(self, node: Any, *topics: Any) -> None:
        self.seen: dict[str, list[Any]] = {topic.name: [] for topic in topics}
        for topic in topics:
            keep = self.seen[topic.name].append
            node.create_subscription(topic.type, topic.name, keep, topic.qos)

    def last(self, topic: Any) -> Any:
        """The newest message, None if none came."""
        return next(iter(self.seen[topic.name][-1:]), None)


def test_the_expert_is_recorded_and_converted_with_the_controllers_of_both_arms(
    start: Any, watcher: Any, wait_until: Any, tmp_path: Path
) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.model.embodiment import find_embodiment
    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.robot.recorded_robot import read_robot
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message, to_ns
    from cosmos3_ros.training.data.lerobot_reader import read_episodes, read_info

    robot, rows = read_robot(ROBOT), expert_rows()
    names = robot.joints.joints
    options = Options(
        robot=ROBOT, policy=False, reasoner=False, armed=True, seed=SEED, use_sim_time=True
    )
    watched = Watched(watcher, topics.SIM_STATUS, topics.COMMANDER_STATUS, topics.JOINT_STATES)
    chunks = watcher.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    words = watcher.create_publisher(String, topics.INSTRUCTION.name, topics.INSTRUCTION.qos)
    for process in processes(options):
        start(process.executable, *process.arguments())
    recorder = start(
        sys.executable, "-m", "cosmos3_ros.cli", "record", tmp_path / "bag", "--robot", ROBOT
    )
    wait_until(lambda: chunks.get_subscription_count() == 2, "commander and recorder", 90)
    wait_until(words.get_subscription_count, "the recorder")
    heard = watched.seen.values()
    wait_until(lambda: all(heard), "commander and simulation", 90)
    wait_until(lambda: watched.last(topics.COMMANDER_STATUS).armed, "the commander to be armed", 90)
    words.publish(String(data="lift the bar"))

    def accepted() -> bool:
        now = to_ns(watched.last(topics.JOINT_STATES).header.stamp)
        chunk = ActionChunk(rows, names, now, NS // 15, robot.joints.grippers)
        message = chunk_message(
            chunk, number=1, instruction="lift the bar", embodiment=ROBOT, seconds={}
        )
        chunks.publish(message)
        return bool(watched.last(topics.COMMANDER_STATUS).mode == "playing")

    wait_until(accepted, "the commander to play")
    solved = lambda: watched.last(topics.SIM_STATUS).success  # noqa: E731
    wait_until(solved, f"the bar to be lifted; {watched.last(topics.COMMANDER_STATUS)}", 90)
    # it is lifted a little before the arms are where they end
    ended = lambda: watched.last(topics.COMMANDER_STATUS).mode == "holding"  # noqa: E731
    wait_until(ended, "the end of the chunk", 90)
    assert recorder.interrupt(60) == 0

    out = tmp_path / "data"
    convert = [sys.executable, "-m", "cosmos3_ros.cli", "convert", tmp_path / "bag", "--out", out]
    done = subprocess.run(
        [*convert, "--robot", ROBOT, "--gap", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    embodiment = find_embodiment(ROBOT)
    (episode,) = [
        each for each in read_episodes(out, embodiment) if each.instructions == ("lift the bar",)
    ]
    assert (episode.task, episode.seed) == (TASK, SEED)
    assert {*episode.views} == {"front", "left_wrist", "right_wrist"}
    sources = read_info(out)["features"]["action"]["info"]["commands"]
    assert [source for (source,) in sources] == [
        f"{arm}/{topic}"
        for arm in ("left", "right")
        for topic in ["arm_controller/joint_trajectory"] * 7 + ["gripper_controller/commands"]
    ]
    for column in (7, 15):
        actions = np.round(episode.actions[:, column], 3)
        first = int(np.isin(actions, (0, 1)).argmax())  # until its first command it is measured
        assert {*actions[first:]} == {0, 1}
        assert np.abs(actions[:first] - episode.states[1 : first + 1, column]).max(initial=0) < 1e-3
    closed = episode.states[-1, [7, 15]]
    assert ((closed > 0.1) & (closed < 0.95)).all(), "both hold the bar"
    ends = np.delete(rows[-11], [7, 15])
    assert np.abs(np.delete(episode.actions[-1], [7, 15]) - ends).max() < 0.05
    assert json.loads((out / "convert.json").read_text())["episodes"]


def test_a_policy_moves_both_arms_and_a_stop_holds_both(
    start: Any, watcher: Any, wait_until: Any, tmp_path: Path
) -> None:
    """All nodes as `cosmos3 run` starts them, with a network that has not learned anything."""
    from std_msgs.msg import Bool

    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
    from cosmos3_ros.ros import topics

    write_tiny(tmp_path / "tiny", embodiment=ROBOT)
    options = Options(
        robot=ROBOT,
        checkpoint=str(tmp_path / "tiny"),
        reasoner=False,
        armed=True,
        instruction="lift the bar with both arms",
        use_sim_time=True,
    )
    trajectories = [topics.TRAJECTORY.of(arm) for arm in ("left", "right")]
    watched = Watched(watcher, topics.COMMANDER_STATUS, topics.ACTION_CHUNK, *trajectories)
    stop = watcher.create_publisher(Bool, topics.STOP.name, topics.STOP.qos)
    for process in processes(options):
        start(process.executable, *process.arguments())

    def moved() -> bool:
        status = watched.last(topics.COMMANDER_STATUS)
        return bool(status and status.played > 2 and status.mode == "playing")

    wait_until(moved, f"chunks to be played; {watched.last(topics.COMMANDER_STATUS)}", 120)
    chunk = watched.last(topics.ACTION_CHUNK)
    assert (len(chunk.joint_names), len(chunk.discrete_joints)) == (16, 2)
    stop.publish(Bool(data=True))
    wait_until(lambda: not watched.last(topics.COMMANDER_STATUS).armed, "a stop")
    wait_until(lambda: watched.last(topics.COMMANDER_STATUS).mode == "holding", "a hold")
    left, right = (watched.seen[topic.name] for topic in trajectories)
    assert len(left) == len(right) > 2
    for one, other in zip(left, right, strict=True):
        assert one.header.stamp == other.header.stamp
        assert len(one.points) == len(other.points)
    assert not any((*left[-1].points[-1].velocities, *right[-1].points[-1].velocities))
