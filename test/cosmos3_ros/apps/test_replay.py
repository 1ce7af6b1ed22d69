# SPDX-License-Identifier: Apache-2.0
"""Recorded clips with a joint log through the nodes: chunks have its stamps; wrong logs."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import POSES, TWISTS, Embodiment
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Prediction
from cosmos3_ros.robot.recorded_robot import RecordedRobot, read_robot
from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros

ROBOTS = sorted(file.stem for file in config_folder().glob("*.yaml"))
JOINTS = [*(f"panda_joint{k}" for k in range(1, 8)), "finger_joint"]
# Public sample footage of NVIDIA Cosmos 3 (OpenMDW-1.1), not part of this repository: tested where
# it lies beside it.
DROID_CLIP = Path(__file__).resolve().parents[4] / "shared" / "data" / "droid_exterior_2.mp4"


def replay(out: Path, *words: str) -> dict:
    """Run the command in a process; its summary."""
    command = [
        sys.executable,
        "-m",
        "cosmos3_ros.cli",
        "replay",
        *words,
        "--out",
        str(out),
        "--no-reasoner",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr + (out / "nodes.log").read_text()
    return json.loads((out / "summary.json").read_text())


def make_clip(path: Path, frames: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.height, stream.width, stream.pix_fmt = 90, 160, "yuv420p"
        for k in range(frames):
            picture = np.full((90, 160, 3), 2 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def write_log(path: Path, rows: int, joints: list[str] = JOINTS) -> Path:
    lines = [",".join(["time", *joints])]
    lines += [
        ",".join(f"{value:.4f}" for value in [k / 15, *([0.01 * k] * len(joints))])
        for k in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_chunks_answer_the_stamps_of_the_clip(domain: int, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 90)
    log = write_log(tmp_path / "joints.csv", 90)
    out = tmp_path / "out"
    summary = replay(
        out, str(tmp_path / "clip.mp4"), "--joints", str(log), "--instruction", "follow"
    )
    assert summary["frames"] == 90
    assert summary["chunks"] >= 2
    assert summary["chunks_without_a_frame"] == 0
    frames = np.array(summary["chunk_stamps_in_clip"]) * 15
    assert np.allclose(frames, frames.round(), atol=1e-3), "each stamp is the time of a frame"
    assert (out / "replay.mp4").stat().st_size > 1000


@pytest.mark.skipif(
    not DROID_CLIP.is_file(), reason="the DROID sample clip does not lie beside the repository"
)
def test_real_footage_of_a_droid_robot(domain: int, tmp_path: Path) -> None:
    summary = replay(
        tmp_path, str(DROID_CLIP), "--instruction", "put the object into the bowl", "--frames", "75"
    )
    assert summary["frames"] == 75
    assert summary["chunks"] >= 3
    assert summary["chunks_without_a_frame"] == 0


def test_a_joint_log_is_read_and_interpolated(tmp_path: Path) -> None:
    from cosmos3_ros.apps.replay import JointLog

    log = JointLog(write_log(tmp_path / "joints.csv", 31), JOINTS)
    assert log.at(1_000_000_000) == pytest.approx([0.15] * 8, abs=1e-3)
    assert log.at(10**12) == pytest.approx([0.30] * 8), "the last row holds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: text.replace("finger_joint", "thumb"),
            r"lacks the columns \['finger_joint'\]",
        ),
        (lambda text: text.replace("0.0100", "fast", 1), "expected numbers"),
        (lambda text: text + text.splitlines()[1] + "\n", "increasing times"),
        (lambda text: text.replace("0.0100", "nan", 1), "finite"),
    ],
)
def test_a_wrong_joint_log_says_what_is_wrong(tmp_path: Path, change, words: str) -> None:
    from cosmos3_ros.apps.replay import JointLog

    path = write_log(tmp_path / "joints.csv", 5)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=words):
        JointLog(path, JOINTS)


def test_a_clip_for_every_view_is_needed(tmp_path: Path) -> None:
    from cosmos3_ros.apps.replay import parse_videos

    make_clip(tmp_path / "clip.mp4", 2)
    clip = str(tmp_path / "clip.mp4")
    assert set(parse_videos([f"left={clip}", f"right={clip}"], ("left", "right"))) == {
        "left",
        "right",
    }
    for words in ([clip], [f"left={clip}"], [f"left={clip}", f"up={clip}"]):
        with pytest.raises(ValueError, match="expected one VIEW=FILE for each of"):
            parse_videos(words, ("left", "right"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match="is not readable as a video"):
        parse_videos([str(tmp_path / "text.mp4")], ("one",))


class Watching:
    """A policy of any embodiment that keeps what it is shown; its chunks stand still."""

    def __init__(self, embodiment: Embodiment) -> None:
        self.embodiment = embodiment
        self.seen: list[Observation] = []

    def infer(self, observation: Observation, committed: object = None) -> Prediction:
        if observation.stamp:  # not the warm-up
            self.seen.append(observation)
        chunk = ActionChunk(
            np.resize(observation.state, (4, len(self.embodiment.action))),
            self.embodiment.action_names,
            observation.stamp,
            self.embodiment.step,
            self.embodiment.discrete,
        )
        return Prediction(chunk, {}, None)

    def decode(self, prediction: Prediction) -> Future:
        raise NotImplementedError

    def reset(self) -> None: ...


@contextlib.contextmanager
def listening(
    robot: RecordedRobot, *transports: str
) -> Iterator[tuple[Any, list[Observation], list[tuple[str, Any]]]]:
    """A clip player, what the policy node of this robot file sees, what its reasoner node hears.

    transports: of policy and reasoner, instead of the file's.
    """
    from cosmos3_ros.apps.demo import watching
    from cosmos3_ros.apps.replay import ClipPlayer
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode
    from cosmos3_ros.ros.spin_thread import spinning

    options = Options(robot=robot.name, sim=False, commander=False, instruction="watch")
    (brain,) = processes(options)
    words = [*brain.arguments()[len(brain.nodes) :], "-p", "reasoner:rate:=0.0"]
    for node, transport in zip(brain.nodes, transports, strict=False):
        words += ["-p", f"{node}:image_transport:={transport}"]
    policy = Watching(robot.embodiment)
    heard: list[tuple[str, Any]] = []

    class Reasoner(ReasonerNode):
        def _on_image(self, view: str) -> Callable[[Any], None]:
            return lambda message: heard.append((view, message))

    with watching(options, views=()) as recorder:
        nodes = [
            PolicyNode(lambda params: policy, cli_args=words),
            Reasoner(lambda params: None, cli_args=words),
        ]
        with spinning(nodes[0]), spinning(nodes[1]):
            for node in nodes:
                node.trigger_configure()
                node.trigger_activate()
                assert node.failure == ""
            views, joints = robot.embodiment.views, robot.joints.joints
            yield ClipPlayer(recorder, views, joints, "watch"), policy.seen, heard
        for node in nodes:
            node.trigger_shutdown()
            node.destroy_node()


@pytest.mark.parametrize(
    ("robot", "transports"),
    [
        *((robot, ()) for robot in ROBOTS),
        ("franka_robotiq", ("compressed", "raw")),
        ("droid_single_view", ("raw", "compressed")),
    ],
)
def test_the_nodes_of_every_robot_file_see_the_clips(
    robot: str, transports: tuple[str, ...], domain: int, wait_until: Callable[..., None]
) -> None:
    """Under the names and in the transports that policy and reasoner have."""
    about = read_robot(robot)
    views, joints = about.embodiment.views, about.joints
    colors = {view: 40 * (number + 1) for number, view in enumerate(views)}
    images = {view: np.full((60, 80, 3), color, np.uint8) for view, color in colors.items()}
    at = [column.closed if column.gripper else 0.125 for column in joints.units]
    with listening(about, *transports) as (player, seen, heard):
        wait_until(player.is_heard, "the policy's subscriptions")
        for k in range(5):
            player.publish(k * 66_666_667, images, at)
        wait_until(lambda: seen, "an observation")
        wait_until(lambda: {view for view, _ in heard} == {*views}, "pictures for the reasoner")
    said = [float(column.gripper) or 0.125 for column in joints.units]
    if about.embodiment.kind not in (POSES, TWISTS):
        assert seen[0].state.tolist() == said
    else:  # where these joints bring the tool
        assert np.linalg.norm(seen[0].state[3:7]) == pytest.approx(1.0)
    assert seen[0].stamp in player.stamps
    shown = {view: image.mean() for view, image in seen[0].images.items()}
    assert shown == pytest.approx(colors, abs=1)
    if transports:
        assert {hasattr(message, "format") for _, message in heard} == {
            transports[1] == "compressed"
        }


def test_without_a_checkpoint_the_embedded_one_stands_in_for_a_like_robot() -> None:
    from cosmos3_ros.apps.replay import graph_for
    from cosmos3_ros.bringup.graph_options import Options

    def embodiment(robot: str, checkpoint: str = "") -> str | None:
        options = Options(robot, checkpoint, sim=False, commander=False)
        (brain,) = graph_for(options, read_robot(robot))
        return brain.parameters["policy"].get("embodiment")

    assert embodiment("isaac_droid") == embodiment("franka_robotiq") == ""
    assert embodiment("isaac_droid", "/my/own") is None, "that of the robot file"
    assert embodiment("droid_single_view") is None, "that of the robot file, which has one view"
    assert embodiment("generic_6axis", "/my/own") is None
    with pytest.raises(ValueError, match=r"expected --checkpoint FOLDER: .* know six_axis"):
        embodiment("generic_6axis")
    served = Options("generic_6axis", policy_url="ws://gpu:1", sim=False, commander=False)
    policy = graph_for(served, read_robot("generic_6axis"))[0]
    assert policy.nodes == ("policy",)
    assert "embodiment" not in policy.parameters["policy"], "that of the robot file"


def test_an_arm_that_is_not_droids_needs_a_joint_log(tmp_path: Path) -> None:
    from cosmos3_ros.apps.replay import start_pose

    assert len(start_pose(read_robot("franka_robotiq"))) == 8
    with pytest.raises(ValueError, match=r"expected --joints FILE: six_axis .* 'joint_6'"):
        start_pose(read_robot("generic_6axis"))
