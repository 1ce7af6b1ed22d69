# SPDX-License-Identifier: Apache-2.0
"""A closed loop over DDS is recorded, converted and read: a witness saw the same rows, images."""

import array
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]
STEP = round(NS / 15)


class Witness:
    """Plays the policy, and keeps what it sees of the graph by stamp."""

    def __init__(self, node: Any, views: tuple[str, ...]) -> None:
        from std_msgs.msg import String

        from cosmos3_ros.ros import topics

        self.node, self.number = node, 0
        self.pictures: dict[str, dict[int, Any]] = {view: {} for view in views}
        self.measured: dict[int, dict[str, float]] = {}
        self.commanded: dict[int, dict[str, float]] = {}
        for view in views:
            topic = topics.camera(view, "compressed")
            node.create_subscription(
                topic.type, topic.name, self.keep(self.pictures[view], lambda m: m), 100
            )
        for topic, kept in ((topics.JOINT_STATES, self.measured), (topics.COMMAND, self.commanded)):
            positions = lambda m: dict(zip(m.name, m.position, strict=True))  # noqa: E731
            node.create_subscription(topic.type, topic.name, self.keep(kept, positions), 100)
        self.instruction = node.create_publisher(String, topics.INSTRUCTION.name, 5)
        self.chunks = node.create_publisher(topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, 5)
        self.futures = node.create_publisher(topics.FUTURE.type, topics.FUTURE.name, 5)

    @property
    def now(self) -> int:
        """The newest stamp of the joint states."""
        return max(self.measured.copy())

    @staticmethod
    def keep(store: dict[int, Any], take: Any) -> Any:
        from cosmos3_ros.ros.messages import to_ns

        return lambda message: store.update({to_ns(message.header.stamp): take(message)})

    def chunk(self, names: list[str], start: np.ndarray) -> None:
        """A second of a slow wave around the start; the gripper closes after half of it."""
        from cosmos3_ros.msg import ActionChunk
        from cosmos3_ros.ros.messages import header, to_duration

        stamp, self.number = self.now, self.number + 1
        self.future(stamp)
        due = (stamp + np.arange(1, 17) * STEP) / NS
        rows = np.zeros((16, 8), np.float32)
        rows[:, :7] = start + 0.15 * np.sin(2 * (due - self.began))[:, None]
        rows[:, 7] = 0.8 * (due - self.began > 2.5)
        self.chunks.publish(
            ActionChunk(
                header=header(stamp), step=to_duration(STEP), horizon=16, number=self.number,
                joint_names=names,
                values=array.array("f", rows.ravel()), discrete_joints=names[7:],
                instruction="wave",
            )
        )  # fmt: skip

    def future(self, stamp: int) -> None:
        """Two gray frames that are expected from this moment on."""
        from cosmos3_ros.model.interface import Future
        from cosmos3_ros.ros.messages import future_message

        frames = np.full((2, 32, 32, 3), 100, np.uint8)
        seen = Future(frames, stamp, STEP)
        self.futures.publish(future_message(seen, number=self.number, instruction="wave"))

    def perform(self, wait_until: Any, names: list[str], seconds: float) -> None:
        """A chunk every third of a second."""
        wait_until(lambda: len(self.measured) > 30, "joint states")
        begin = self.now
        self.began = begin / NS
        start = np.array([self.measured[begin][name] for name in names[:7]])
        while self.now < begin + seconds * NS:
            self.chunk(names, start)
            sent = self.now
            wait_until(lambda sent=sent: self.now > sent + NS // 3, "a third of a second")

    def column(self, kept: dict[int, dict[str, float]], name: str, at: np.ndarray) -> np.ndarray:
        kept = kept.copy()  # at once, while another thread adds to it
        stamps = np.array(sorted(stamp for stamp, known in kept.items() if name in known))
        return np.interp(
            at - at[0], stamps - at[0], [kept[stamp][name] for stamp in stamps.tolist()]
        )


def compare_pictures(episode: Any, witness: Witness, times: np.ndarray) -> None:
    """Each picture is the newest that was published until then, not one of another time."""
    from cosmos3_ros.robot.images import decode

    for view, pictures in witness.pictures.items():
        kept = pictures.copy()
        stamps = np.array(sorted(kept))
        newest = np.searchsorted(stamps, times + STEP // 10, side="right") - 1
        differences = []  # from the picture that it should be, and from those two before and after
        for frame in range(15, len(episode) - 3, 5):
            near = [decode(kept[int(stamps[newest[frame] + k])]) for k in (-2, 0, 2)]
            differences.append(
                [np.abs(each.astype(int) - episode.views[view][frame]).mean() for each in near]
            )
        before, same, after = np.mean(differences, axis=0)
        assert same < 2.0, view
        assert same < 0.8 * min(before, after), view


def check_future(bag: Path, count: int) -> None:
    """A reader that knows only what the recording says of its types has every future."""
    from rosbags.highlevel import AnyReader

    with AnyReader([bag]) as reader:
        assert {"/cosmos3/scene", "/cosmos3/path", "/cosmos3/surprise"} <= reader.topics.keys()
        connections = [each for each in reader.connections if each.topic == "/cosmos3/future"]
        futures = [
            reader.deserialize(data, each.msgtype) for each, _, data in reader.messages(connections)
        ]
    assert [future.number for future in futures] == [*range(1, count + 1)]
    assert [frame.format for frame in futures[0].frames] == ["jpeg", "jpeg"]


def test_what_is_recorded_of_a_closed_loop_is_what_happened(
    start: Any, watcher: Any, wait_until: Any, tmp_path: Path
) -> None:
    import json

    from std_msgs.msg import String

    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.model.embodiment import SIMULATED
    from cosmos3_ros.robot.recorded_robot import read_robot
    from cosmos3_ros.training.data.lerobot_reader import read_episodes, read_info

    robot = read_robot("droid_sim")
    names = list(robot.joints.joints)
    for process in processes(
        Options(policy=False, reasoner=False, armed=True, task="lift", seed=3)
    ):
        start(process.executable, *process.arguments())
    recorder = start(sys.executable, "-m", "cosmos3_ros.cli", "record", tmp_path / "bag")
    recorder.wait_for("recording 17 topics")
    witness = Witness(watcher, robot.embodiment.views)
    for topic in ("cosmos3/instruction", "cosmos3/action_chunk"):
        wait_until(
            lambda topic=topic: watcher.count_subscribers(topic) >= 1, f"the recorder on {topic}"
        )
    wait_until(
        lambda: watcher.count_subscribers("cosmos3/action_chunk") >= 2, "commander and recorder"
    )
    witness.instruction.publish(String(data="wave"))
    witness.perform(wait_until, names, 4.0)
    assert recorder.interrupt() == 0
    assert " 0 /joint_states" not in recorder.output
    check_future(tmp_path / "bag", witness.number)

    convert = [
        sys.executable,
        "-m",
        "cosmos3_ros.cli",
        "convert",
        tmp_path / "bag",
        "--out",
        tmp_path / "data",
    ]
    convert += ["--gap", "2"]  # a busy machine is no reason for two episodes
    done = subprocess.run(convert, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (episode,) = [
        each
        for each in read_episodes(tmp_path / "data", SIMULATED)
        if each.instructions == ("wave",)
    ]
    assert (episode.task, episode.seed) == ("lift", 3)
    assert len(episode) > 45
    commands = read_info(tmp_path / "data")["features"]["action.joint_position"]["info"]["commands"]
    assert commands == [["arm_controller/joint_trajectory"]] * 7

    log = json.loads((tmp_path / "data/convert.json").read_text())["episodes"][-1]
    times = log["stamp"] + np.arange(len(episode)) * STEP
    inner = (times > min(witness.commanded.copy())) & (times + STEP < max(witness.commanded.copy()))
    for column, name in enumerate(names):
        scale = 0.8 if name in robot.joints.grippers else 1.0
        measured = witness.column(witness.measured, name, times)
        assert np.abs(episode.states[:, column] * scale - measured).max() < 0.01, name
        if column < 7:
            commanded = witness.column(witness.commanded, name, times + STEP)
            apart = np.abs(episode.actions[:, column] - commanded)[inner]
            # When a message came is all that is known of when it took effect; some come late on a
            # busy machine.
            assert np.median(apart) < 0.008, name  # a step later or earlier: 0.0125
            assert np.quantile(apart, 0.9) < 0.08, name
    assert np.ptp(episode.actions[inner, 0]) > 0.15
    grip = np.round(episode.actions[:, 7], 3)
    first = int(np.isin(grip, (0.0, 1.0)).argmax())  # until its first command it is measured
    assert set(grip[first:][inner[first:]]) == {0.0, 1.0}
    assert np.abs(grip[:first] - episode.states[1 : first + 1, 7]).max(initial=0) < 1e-3
    compare_pictures(episode, witness, times)
