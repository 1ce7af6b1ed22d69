# SPDX-License-Identifier: Apache-2.0
"""Recordings become datasets: what was published is what is read.

No ROS: the bags are written by the library.
"""

import dataclasses
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from cosmos3_ros.cli import main
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot import topic_names
from cosmos3_ros.robot.joint_map import JointMap
from cosmos3_ros.robot.recorded_robot import RecordedRobot, read_robot
from cosmos3_ros.robot.topic_names import COMMANDS
from cosmos3_ros.training.data.command_timeline import (
    MEASURED,
    Motion,
    commanded,
    find_sources,
)
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.data.lerobot_reader import read_episodes, read_info
from cosmos3_ros.training.data.rosbag_reader import read_recording
from cosmos3_ros.training.data.rosbag_to_lerobot import ConvertOptions, convert
from cosmos3_ros.training.dynamics.sources import of_bag

DROID_SINGLE_VIEW = EMBODIMENTS["droid_single_view"]

ROBOT = "droid_single_view"
JOINTS = read_robot(ROBOT).joints.joints
START = 1_700_000_000 * NS
CAMERA, COMPRESSED = (
    topic_names.camera("exterior_1", transport) for transport in ("raw", "compressed")
)
STORE = get_typestore(Stores.ROS2_JAZZY)
for kind in ("TaskStatus", "CommanderStatus", "ActionChunk"):
    text = (Path(__file__).resolve().parents[3] / "msg" / f"{kind}.msg").read_text()
    STORE.register(get_types_from_msg(text, f"cosmos3_ros/msg/{kind}"))
TYPES = STORE.types


def time(ns: int) -> Any:
    return TYPES["builtin_interfaces/msg/Time"](sec=ns // NS, nanosec=ns % NS)


def duration(ns: int) -> Any:
    return TYPES["builtin_interfaces/msg/Duration"](sec=ns // NS, nanosec=ns % NS)


def header(ns: int) -> Any:
    return TYPES["std_msgs/msg/Header"](stamp=time(ns), frame_id="")


class Bag:
    """Writes messages at seconds from the start, stamped then and received 4 ms later."""

    def __init__(
        self,
        path: Path,
        storage: StoragePlugin = StoragePlugin.MCAP,
        compression: CompressionMode = CompressionMode.NONE,
    ) -> None:
        self._writer = Writer(path, version=9, storage_plugin=storage)
        self._writer.set_compression(compression, CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}
        self.lag = 4_000_000

    def __enter__(self) -> "Bag":
        self._writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, topic: str, seconds: float, kind: str, **fields: Any) -> None:
        stamp = START + round(seconds * NS)
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                f"/{topic}", kind, typestore=STORE
            )
        if "header" in [name for name, _ in STORE.get_msgdef(kind).fields]:
            fields = {"header": header(stamp), **fields}
        data = STORE.serialize_cdr(TYPES[kind](**fields), kind)
        self._writer.write(self._connections[topic], stamp + self.lag, data)

    def picture(
        self,
        seconds: float,
        value: int,
        compressed: bool = False,
        size: tuple[int, int] = (36, 64),
        **more: Any,
    ) -> None:
        pixels = np.full((*size, 3), value, np.uint8)
        if compressed:
            done, jpeg = cv2.imencode(".jpg", pixels)
            assert done
            self.write(
                COMPRESSED,
                seconds,
                "sensor_msgs/msg/CompressedImage",
                format="jpeg",
                data=jpeg.ravel(),
            )
            return
        fields = {
            "height": size[0],
            "width": size[1],
            "encoding": "rgb8",
            "is_bigendian": 0,
            "step": 3 * size[1],
            **more,
        }
        self.write(CAMERA, seconds, "sensor_msgs/msg/Image", data=pixels.ravel(), **fields)

    def joints(
        self,
        seconds: float,
        positions: list[float],
        order: tuple[str, ...] = JOINTS,
        **fields: Any,
    ) -> None:
        known = dict(zip(JOINTS, positions, strict=True)) | {"lid": 9.0}
        values, none = np.array([known[joint] for joint in order]), np.zeros(0)
        said = {"name": list(order), "position": values, "velocity": none, "effort": none}
        self.write(topic_names.JOINT_STATES, seconds, "sensor_msgs/msg/JointState", **said | fields)

    def array(self, topic: str, seconds: float, values: list[float]) -> None:
        layout = TYPES["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
        self.write(
            topic, seconds, "std_msgs/msg/Float64MultiArray", layout=layout, data=np.array(values)
        )

    def instruct(self, seconds: float, text: str) -> None:
        self.write(topic_names.INSTRUCTION, seconds, "std_msgs/msg/String", data=text)

    def trajectory(self, seconds: float, points: list[tuple[float, list[float]]]) -> None:
        none = np.zeros(0)
        made = [
            TYPES["trajectory_msgs/msg/JointTrajectoryPoint"](
                positions=np.array(position), velocities=none, accelerations=none, effort=none,
                time_from_start=duration(round(after * NS)),
            )
            for after, position in points
        ]  # fmt: skip
        self.write(
            topic_names.TRAJECTORY, seconds, "trajectory_msgs/msg/JointTrajectory",
            header=header(0), joint_names=list(JOINTS[:7]) if made else [], points=made,
        )  # fmt: skip

    def status(self, seconds: float, episode: int, elapsed: float, instruction: str) -> None:
        fields = {
            "task": "reach",
            "seed": 40 + episode,
            "instruction": instruction,
            "episode": episode,
        }
        fields |= {"elapsed": elapsed, "success": False, "real_time_factor": 1.0}
        self.write(topic_names.SIM_STATUS, seconds, "cosmos3_ros/msg/TaskStatus", **fields)

    def streams(
        self, begin: float, end: float, skip: Callable[[float], bool] = lambda _: False
    ) -> None:
        """Numbered images at 30 Hz, joints at 60 Hz that rise by 0.1 rad/s, gripper by 0.08."""
        for number in range(round(begin * 60), round(end * 60) + 1):
            seconds = number / 60
            if number % 2 == 0 and not skip(seconds):
                self.picture(seconds, value(number // 2))
            self.joints(seconds, position(seconds), ("lid", *reversed(JOINTS)))


def value(number: int) -> int:
    return 20 + 4 * number % 200


def position(seconds: float) -> list[float]:
    return [joint + 0.1 * seconds for joint in range(7)] + [0.08 * seconds]


def convert_one(bag: Path, folder: Path, **options: Any) -> tuple[list[Any], list[str]]:
    said: list[str] = []
    convert([bag], folder, ROBOT, ConvertOptions(**options), said.append)
    return list(read_episodes(folder, DROID_SINGLE_VIEW)), said


def test_recordings_are_of_joints(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="droid_sim_poses: expected an embodiment that acts by jo"):
        convert([], tmp_path / "d", "droid_sim_poses", ConvertOptions())


@pytest.mark.parametrize(
    ("storage", "compression", "file"),
    [
        (StoragePlugin.MCAP, CompressionMode.NONE, ""),
        (StoragePlugin.SQLITE3, CompressionMode.NONE, ""),
        (StoragePlugin.MCAP, CompressionMode.NONE, "bag.mcap"),
        (StoragePlugin.SQLITE3, CompressionMode.NONE, "bag.db3"),
        (StoragePlugin.SQLITE3, CompressionMode.FILE, ""),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE, ""),
        (StoragePlugin.MCAP, CompressionMode.STORAGE, ""),
    ],
)
def test_rows_and_pictures_are_what_was_recorded(
    tmp_path: Path, storage: StoragePlugin, compression: CompressionMode, file: str
) -> None:
    """Without commands.

    All kinds of files, by the command that people use, and from there to what trains.
    """
    with Bag(tmp_path / "bag", storage, compression) as bag:
        bag.instruct(0.0, "lift the cube")
        bag.streams(0.0, 4.0)
    path = tmp_path / "bag" / file
    assert main(["convert", str(path), "--out", str(tmp_path / "d"), "--robot", ROBOT]) == 0
    (episode,) = read_episodes(tmp_path / "d", DROID_SINGLE_VIEW)
    seconds = np.arange(len(episode)) / 15
    assert len(episode) == 59
    wanted = np.array([position(each) for each in seconds])
    assert np.allclose(episode.states[:, :7], wanted[:, :7], atol=1e-5)
    assert np.allclose(episode.states[:, 7], wanted[:, 7] / 0.8, atol=1e-5)
    assert np.allclose(episode.actions[:-1], episode.states[1:], atol=1e-5)
    assert episode.instructions == ("lift the cube",)
    shown = episode.views["exterior_1"].mean(axis=(1, 2, 3))
    assert np.abs(shown - [value(2 * frame) for frame in range(59)]).max() < 3
    info = read_info(tmp_path / "d")
    about = info["features"]["action.joint_position"]["info"]
    assert about == {"units": ["rad"] * 7, "commands": [[MEASURED]] * 7}
    assert info["features"]["action.joint_position"]["names"] == [
        f"panda_joint{number}" for number in range(1, 8)
    ]
    assert "simulation.truth" not in info["features"]
    clip = make_clip(episode, DROID_SINGLE_VIEW, stride=10)
    assert clip.rows.shape == (6, 17, 8)
    kept = json.loads((tmp_path / "d/convert.json").read_text())
    assert kept["episodes"][0]["bag"] == str(path)


def test_actions_are_the_commands_that_were_in_effect(tmp_path: Path) -> None:
    """A trajectory, replaced midway by another; a gripper command without a header.

    Nothing at first.
    """
    with Bag(tmp_path / "bag") as bag:
        bag.instruct(0.0, "go")
        bag.streams(0.0, 4.0)
        bag.trajectory(1.0, [(0.0, [0.0] * 7), (2.0, [2.0] * 7)])
        bag.array(topic_names.GRIPPER, 1.5, [0.8])
        bag.trajectory(2.0, [(0.5, [0.5] * 7)])
    (episode,), said = convert_one(tmp_path / "bag", tmp_path / "d")
    due = (np.arange(len(episode)) + 1) / 15
    expected = np.interp(due, [1.0, 2.0, 2.5], [0.0, 1.0, 0.5])
    free = due < 0.999
    assert np.allclose(episode.actions[~free, 0], expected[~free], atol=1e-5)
    # nothing commanded: where it went
    assert np.allclose(episode.actions[free, 0], 0.1 * due[free], atol=1e-5)
    assert np.allclose(episode.actions[due > 1.5, 7], 1.0)
    assert np.allclose(episode.actions[due <= 1.5, 7], 0.1 * due[due <= 1.5], atol=1e-5)
    info = read_info(tmp_path / "d")["features"]
    assert info["action.joint_position"]["info"]["commands"] == [[topic_names.TRAJECTORY]] * 7
    assert info["action.gripper_position"]["info"] == {
        "units": ["fraction"],
        "commands": [[topic_names.GRIPPER]],
    }
    assert any("22 of them before any command" in line for line in said)
    (measured,), _ = convert_one(tmp_path / "bag", tmp_path / "m", actions=MEASURED)
    assert np.allclose(measured.actions[:, 0], 0.1 * due, atol=1e-5)


def test_a_new_instruction_a_reset_and_a_gap_end_an_episode_and_all_that_is_lost_is_said(
    tmp_path: Path,
) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 12.0, skip=lambda seconds: 7.0 < seconds < 7.5)
        bag.instruct(0.5, "one")
        bag.instruct(2.0, "one")
        bag.instruct(3.0, "two")
        bag.array(topic_names.POSITIONS, 3.5, [1.0] * 7)
        for tenth in range(120):
            bag.status(
                tenth / 10,
                1 + (tenth > 50),
                tenth / 10 - (5.0 if tenth > 50 else 0.0),
                "of the task",
            )
        bag.instruct(11.5, "three")
    episodes, said = convert_one(tmp_path / "bag", tmp_path / "d")
    assert [episode.instructions[0] for episode in episodes] == ["one", "two", "two", "two"]
    assert [len(episode) for episode in episodes] == pytest.approx(
        [2.5 * 15, 2 * 15, 2.2 * 15, 4 * 15], abs=2
    )
    assert [episode.seed for episode in episodes] == [41, 41, 42, 42]
    assert np.allclose(episodes[1].actions[10:, :7], 1.0)
    # a reset voids what was commanded before it
    assert not np.allclose(episodes[2].actions[:, 0], 1.0)
    lost = [line.partition("left out ")[2] for line in said if "left out" in line]
    assert [line.partition(": ")[2] for line in lost] == [
        "no instruction yet",
        "nothing from /camera/exterior_1/image_raw",
        "shorter than 1.0 s",
    ]
    assert lost[0].startswith("0.00 to 0.50 s")
    assert any("left out" not in line and "in 4 episode(s)" in line for line in said)


def test_joints_may_come_in_several_messages_at_several_rates(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for number in range(61):
            bag.picture(number / 30, value(number))
            bag.joints(number / 30, position(number / 30), JOINTS[:7])
            if number % 6 == 0:
                bag.joints(number / 30, position(number / 30), JOINTS[7:])
    (episode,), _ = convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")
    wanted = np.array([position(frame / 15) for frame in range(len(episode))])
    assert np.allclose(episode.states, wanted / ([1] * 7 + [0.8]), atol=1e-5)


def based() -> RecordedRobot:
    """The robot on a base that drives and turns."""
    arm = read_robot(ROBOT)
    names = (*arm.joints.joints, "base_x", "base_yaw")
    columns = (*arm.joints.units, Column("base_x", "m/s"), Column("base_yaw", "rad/s"))
    return dataclasses.replace(
        arm,
        joints=JointMap(names, columns),
        velocity=np.append(arm.velocity, [10.0, 10.0]),
        topics={**arm.topics, topic_names.ODOMETRY: "/base/odom"},
        base=("base_x", "", "base_yaw"),
    )


def drive(bag: Bag, seconds: float, forward: float, turn: float) -> None:
    zero = {"x": 0.0, "y": 0.0, "z": 0.0}
    kinds = {
        name: TYPES[f"geometry_msgs/msg/{name}"] for name in ("Point", "Quaternion", "Vector3")
    }
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=kinds["Point"](**zero), orientation=kinds["Quaternion"](**zero, w=1.0)
    )
    twist = TYPES["geometry_msgs/msg/Twist"](
        linear=kinds["Vector3"](x=forward, y=9.0, z=0.0),
        angular=kinds["Vector3"](x=0.0, y=0.0, z=turn),
    )
    sure = np.zeros(36)
    bag.write(
        "base/odom",
        seconds,
        "nav_msgs/msg/Odometry",
        child_frame_id="base",
        pose=TYPES["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=sure),
        twist=TYPES["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=sure),
    )


def test_velocities_of_a_base_come_from_its_odometry(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 2.0)
        for number in range(41):
            drive(bag, number / 20, 0.1 * number / 20, -0.2)
    recording = read_recording(tmp_path / "bag", based(), [].append)
    stamps, forward = recording.states[-2]
    assert len(stamps) == 41
    assert forward == pytest.approx(0.1 * (stamps - START) / NS, abs=1e-9)
    assert recording.states[-1][1] == pytest.approx(np.full(41, -0.2))
    assert len(recording.states[0][0]) == 121, "joints keep their own stamps"


def test_without_odometry_a_base_is_missing_there(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 2.0)
    with pytest.raises(ValueError, match="/base/odom lacks the joint 'base_x'"):
        read_recording(tmp_path / "bag", based(), [].append)


def test_simulated_time_is_followed_where_messages_have_no_stamp(tmp_path: Path) -> None:
    """Stamps at half the speed of the clock that the recording went by."""
    with Bag(tmp_path / "bag") as bag:
        for number in range(240):
            bag.lag = round(number / 60 * NS)
            bag.picture(number / 60, 30 + number % 4 * 40, compressed=True)
            bag.joints(number / 60, position(0.0))
            if number == 0:
                bag.instruct(0.0, "go")
            if number == 120:
                bag.array(topic_names.GRIPPER, 2.01, [0.8])
    (episode,), _ = convert_one(tmp_path / "bag", tmp_path / "d")
    closed = np.flatnonzero(episode.actions[:, 7] > 0.5)
    assert closed[0] == 30  # due at 2.067 s, the first after the command
    shown = episode.views["exterior_1"].mean(axis=(1, 2, 3))
    assert np.abs(shown - 30).max() < 3


def test_a_slow_camera_repeats_and_large_pictures_shrink(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 2.0, skip=lambda _: True)
        for number in range(20):
            bag.picture(number / 10, value(11 * number), size=(481, 641))
    (episode,), _ = convert_one(tmp_path / "bag", tmp_path / "d", instruction="wave", height=120)
    assert episode.views["exterior_1"].shape[1:] == (120, 160, 3)
    shown = episode.views["exterior_1"].mean(axis=(1, 2, 3))
    newest = [value(11 * int(frame / 15 * 10 + 1 / 6 + 1e-6)) for frame in range(len(episode))]
    assert np.abs(shown - newest).max() < 3
    assert episode.instructions == ("wave",)


def test_a_dry_run_was_not_executed(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.instruct(0.0, "go")
        bag.streams(0.0, 3.0)
        status = {
            "mode": "playing",
            "reason": "",
            "chunk": 1,
            "chunk_stamp": time(START),
            "remaining": 1.0,
        }
        status |= dict.fromkeys(("played", "rejected", "limited", "superseded"), 0)
        status |= dict.fromkeys(("last_rejection", "last_limit", "strategy"), "")
        for seconds, armed in ((0.0, False), (1.5, True)):
            bag.write(
                topic_names.COMMANDER_STATUS,
                seconds,
                "cosmos3_ros/msg/CommanderStatus",
                armed=armed,
                **status,
            )
        for number in range(1, 20):
            chunk = {
                "step": duration(NS // 10),
                "horizon": 4,
                "joint_names": list(JOINTS),
                "discrete_joints": [],
            }
            chunk |= {
                "values": np.full(32, number, np.float32),
                "strategy": "",
                "instruction": "x",
                "number": number,
            }
            chunk |= {
                "embodiment": "",
                "latency_stages": [],
                "latency_seconds": np.zeros(0, np.float32),
            }
            bag.write(topic_names.ACTION_CHUNK, number / 10, "cosmos3_ros/msg/ActionChunk", **chunk)
    (episode,), said = convert_one(tmp_path / "bag", tmp_path / "d")
    assert any("14 commands of a dry run left out" in line for line in said)
    assert np.allclose(episode.actions[:20, 0], 0.1 * (np.arange(20) + 1) / 15, atol=1e-5)
    assert np.allclose(episode.actions[30:, 0], 19.0)


@pytest.mark.parametrize(
    ("robot", "options", "message"),
    [
        (
            ROBOT,
            {},
            r"no instruction: nothing on /cosmos3/instruction \(expected std_msgs/String\)",
        ),
        (
            "droid_sim",
            {},
            "nothing on /camera/wrist/image_raw .*expected sensor_msgs/Image or CompressedImage",
        ),
        (
            ROBOT,
            {"instruction": "x", "actions": topic_names.GRIPPER},
            "no commands on /gripper_controller/commands",
        ),
        (ROBOT, {"instruction": "x", "shortest": 9.0}, r"no episode of 9\.0 s"),
        (ROBOT, {"instruction": "x", "actions": "chunks"}, "actions: expected one of"),
        (ROBOT, {"instruction": "x", "height": 7}, "height: expected an even number"),
        ("nobody", {}, "unknown robot 'nobody'"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, robot: str, options: dict[str, Any], message: str
) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 2.0)
    with pytest.raises(ValueError, match=message):
        convert(
            [tmp_path / "bag"], tmp_path / "d", robot, ConvertOptions(**options), lambda _: None
        )
    assert not (tmp_path / "d/meta/info.json").exists()


def test_wrong_bags_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Bag(tmp_path / "joints") as bag:
        bag.picture(0.0, 9)
        bag.joints(0.0, position(0.0), JOINTS[:7])
    with Bag(tmp_path / "back") as bag:
        bag.picture(5.0, 9)
        bag.joints(5.0, position(0.0))
        bag.lag = 9 * NS
        bag.joints(1.0, position(0.0))
    with Bag(tmp_path / "picture") as bag:
        bag.streams(0.0, 2.0, skip=lambda _: True)
        bag.write(
            COMPRESSED,
            0.0,
            "sensor_msgs/msg/CompressedImage",
            format="jpeg",
            data=np.zeros(9, np.uint8),
        )
        for number in range(1, 30):
            bag.picture(number / 15, 9, compressed=True)
    (tmp_path / "nothing").mkdir()
    for name, message in (
        ("joints", "/joint_states lacks the joint 'finger_joint'; it has ['panda_joint1'"),
        ("back", "the stamps of /joint_states go back by 4.0 s"),
        (
            "picture",
            "/camera/exterior_1/image_raw/compressed at 1700000000.000 s: compressed image",
        ),
        ("nothing", "not a rosbag2 recording"),
    ):
        words = [
            "convert",
            str(tmp_path / name),
            "--out",
            str(tmp_path / f"{name}.d"),
            "--robot",
            ROBOT,
        ]
        assert main([*words, "--instruction", "x"]) == 1
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1
        assert message in said[0]
    (tmp_path / "nothing" / "file").touch()
    assert (
        main(
            [
                "convert",
                str(tmp_path / "joints"),
                "--out",
                str(tmp_path / "nothing"),
                "--robot",
                ROBOT,
            ]
        )
        == 1
    )
    assert "expected a new or an empty folder" in capsys.readouterr().err


def test_a_dataset_that_is_a_bag_is_told_what_to_do(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.instruct(0.0, "x")
    with pytest.raises(
        ValueError, match=r"is a rosbag2 recording; first `cosmos3 convert .*bag --robot NAME"
    ):
        next(read_episodes(tmp_path / "bag", DROID_SINGLE_VIEW))


def test_a_message_that_names_some_joints_leaves_the_others(tmp_path: Path) -> None:
    nan = np.nan
    motions = [
        Motion(topic_names.JOINT_COMMAND, 0, np.array([0]), np.array([[1.0, 2.0, nan]])),
        Motion(topic_names.JOINT_COMMAND, 10, np.array([10]), np.array([[nan, 3.0, nan]])),
        Motion(topic_names.GRIPPER, 5, np.array([5]), np.array([[nan, nan, 1.0]])),
    ]
    sources = find_sources(motions, 3)
    assert sources == [topic_names.JOINT_COMMAND, topic_names.JOINT_COMMAND, topic_names.GRIPPER]
    rows = commanded(motions, sources, np.array([0, 5, 10, 11]), [False, False, True])
    assert np.array_equal(rows, [[nan] * 3, [1, 2, nan], [1, 2, 1], [1, 3, 1]], equal_nan=True)
    assert find_sources(motions, 3, MEASURED) == [MEASURED] * 3
    assert set(sources) <= set(COMMANDS)


ZEROS = [0.0] * 8


def filled(path: Path, *wrong: Callable[[Bag], None]) -> Path:
    """Four good seconds, and what is wrong with them."""
    with Bag(path) as bag:
        for each in wrong:
            each(bag)
        bag.streams(0.1, 4.0)
    return path


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda bag: bag.picture(0.0, 9, header=header(0)), f"{CAMERA}, at 0.00 s: no stamp"),
        (
            lambda bag: bag.joints(0.0, ZEROS, header=header(0)),
            "/joint_states, at 0.00 s: no stamp",
        ),
        (
            lambda bag: bag.picture(0.0, 9, header=header(START + 4 * 10**8 * NS)),
            f"{CAMERA}, at 0.00 s: stamped 400000000.0 s ahead of the others",
        ),
        (
            lambda bag: bag.joints(0.0, ZEROS, header=header(9 * NS)),
            "/joint_states, at 0.00 s: stamped 1699999991.0 s behind the others",
        ),
        (
            lambda bag: bag.joints(0.0, ZEROS),
            "/joint_states, at 0.00 s: panda_joint7 is said to have moved by 6.0",
        ),
        (
            lambda bag: bag.joints(0.0, [*position(0.0)[:7], np.nan]),
            "/joint_states, at 0.00 s: ['finger_joint'] not finite",
        ),
        (
            lambda bag: bag.joints(0.0, position(0.0), position=np.ones(3)),
            "/joint_states, at 0.00 s: 8 different names, 3 positions",
        ),
    ],
)
def test_one_message_that_cannot_be_believed_is_left_out_and_named(
    tmp_path: Path, wrong: Callable[[Bag], None], words: str
) -> None:
    said: list[str] = []
    recording = read_recording(filled(tmp_path / "bag", wrong), read_robot(ROBOT), said.append)
    assert len(said) == 1
    assert "left out 1 of " in said[0]
    assert words in said[0]
    first = START + NS // 10
    assert [stamps[0] for stamps, _ in recording.states] == [first] * 8
    assert recording.stamps["exterior_1"][0] == first
    assert len(recording.stamps["exterior_1"]) == 118


def test_a_topic_without_stamps_is_taken_as_received(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for number in range(60):
            bag.picture(number / 30, 9, header=header(0))
            bag.joints(number / 30, position(number / 30))
    said: list[str] = []
    recording = read_recording(tmp_path / "bag", read_robot(ROBOT), said.append)
    assert len(said) == 1
    assert said[0].endswith(f"{CAMERA}: no stamps, taken as of their reception")
    assert np.array_equal(recording.stamps["exterior_1"], recording.states[0][0])


def test_stamps_of_two_topics_that_are_years_apart_are_refused(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for number in range(60):
            bag.picture(number / 30, 9, header=header((number + 1) * NS // 30))
            bag.joints(number / 30, position(0.0))
    with pytest.raises(
        ValueError,
        match=rf"stamps of /joint_states begin at 1700000000\.000 s, those of /{CAMERA} end at 2\.",
    ):
        convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")


def test_long_pauses_need_no_memory(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for begin in (0, 10**6, 2 * 10**6):
            for number in range(60):
                bag.picture(begin + number / 30, value(number))
                bag.joints(begin + number / 30, position(0.0))
    tracemalloc.start()
    episodes, said = convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    assert [len(episode) for episode in episodes] == pytest.approx([29, 29, 29], abs=1)
    assert sum(f"nothing from /{CAMERA}" in line for line in said) == 2


def test_pictures_that_were_recorded_out_of_order_are_shown_by_stamp(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for number in range(60):
            there = number ^ 2  # pairs of frames exchanged
            stamp = header(START + there * NS // 30)
            bag.picture(number / 30, value(there), header=stamp)
            bag.joints(number / 30, position(0.0))
    (episode,), _ = convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")
    shown = episode.views["exterior_1"].mean(axis=(1, 2, 3))
    assert np.abs(shown - [value(2 * frame) for frame in range(len(episode))]).max() < 3


def test_a_second_publisher_of_zeros_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def zeros(bag: Bag) -> None:
        for number in range(240):
            bag.joints(0.108 + number / 60, ZEROS)

    words = ["convert", str(filled(tmp_path / "bag", zeros)), "--out", str(tmp_path / "d")]
    assert main([*words, "--robot", ROBOT, "--instruction", "x"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "/joint_states: joint states contradict each other: panda_joint7 is said to" in said[0]
    assert "limit 2.48 per second" in said[0]


def test_an_arm_that_leaps_begins_another_episode(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        for number in range(181):
            bag.picture(number / 30, 9)
            moved = [joint + (number > 90) for joint in position(number / 30)]
            bag.joints(number / 30, moved)
    episodes, said = convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")
    assert [len(episode) for episode in episodes] == [44, 43]
    assert all(np.abs(np.diff(each.states[:, 0])).max() < 0.01 for each in episodes)
    assert sum("panda_joint1 leaps, further than its limit of 2.06" in line for line in said) == 1


def test_an_empty_trajectory_holds_at_that_moment(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.trajectory(0.5, [])  # nothing was commanded before
        bag.trajectory(1.0, [(0.0, [0.0] * 7), (2.0, [2.0] * 7)])
        bag.trajectory(2.0, [])
        bag.streams(0.0, 4.0)
    (episode,), _ = convert_one(tmp_path / "bag", tmp_path / "d", instruction="x")
    due = (np.arange(len(episode)) + 1) / 15
    for since, until, expected in ((0.51, 0.99, 0.05), (2.02, 4.0, 1.0)):
        held = episode.actions[(due > since) & (due < until), 0]
        assert len(held) > 5
        assert np.allclose(held, expected, atol=5e-3)


def test_commands_that_controllers_refuse_are_left_out_and_named(tmp_path: Path) -> None:
    def wrong(bag: Bag) -> None:
        bag.trajectory(0.2, [(0.0, [0.5] * 7)])
        bag.trajectory(0.4, [(0.0, [9.0] * 6)])
        bag.trajectory(0.5, [(1.0, [9.0] * 7), (0.5, [9.0] * 7)])
        bag.trajectory(0.6, [(0.0, [np.nan] * 7)])

    said: list[str] = []
    bag = filled(tmp_path / "bag", wrong)
    recording = read_recording(bag, read_robot(ROBOT), said.append)
    assert [np.nanmax(motion.values) for motion in recording.motions if len(motion.values)] == [0.5]
    reasons = [line.partition("arm_controller/joint_trajectory, ")[2] for line in said]
    assert [reason[:30] for reason in reasons] == [
        "at 0.30 s: 6 positions for the",
        "at 0.40 s: the times of its po",
        "at 0.50 s: positions [nan, nan",
    ]
    only = filled(tmp_path / "only", lambda bag: bag.array(topic_names.POSITIONS, 0.5, [1.0]))
    with pytest.raises(
        ValueError, match="position_controller/commands: 1 positions for the joints"
    ):
        read_recording(only, read_robot(ROBOT), said.append)


def test_all_bags_of_a_dataset_have_pictures_of_one_size(tmp_path: Path) -> None:
    for name, size in (("a", (36, 64)), ("b", (48, 64))):
        with Bag(tmp_path / name) as bag:
            for number in range(60):
                bag.picture(number / 30, 9, size=size)
                bag.joints(number / 30, position(0.0))
    with pytest.raises(
        ValueError, match=f"b: /{CAMERA}: a picture of 64 x 48 pixels, after such of 64"
    ):
        convert(
            [tmp_path / "a", tmp_path / "b"], tmp_path / "d", ROBOT,
            ConvertOptions(instruction="x"), lambda _: None,
        )  # fmt: skip


def test_dynamics_are_asked_about_the_same_episodes(tmp_path: Path) -> None:
    with Bag(tmp_path / "bag") as bag:
        bag.streams(0.0, 6.0)
        bag.instruct(0.0, "one")
        bag.instruct(3.0, "two")
        bag.array(topic_names.POSITIONS, 3.5, [1.0] * 7)
    episodes, said = convert_one(tmp_path / "bag", tmp_path / "d")
    place = str(tmp_path / "bag")
    clips = list(of_bag(place, ROBOT, DROID_SINGLE_VIEW, tell=said.append))
    assert [clip.name for clip in clips] == [f"{place}:0", f"{place}:1"]
    for clip, episode in zip(clips, episodes, strict=True):
        assert np.allclose(clip.episode.states, episode.states, atol=1e-6)
        assert np.allclose(clip.episode.actions, episode.actions, atol=1e-6)
        assert clip.episode.instructions == episode.instructions
    assert clips[0].stamps[0] == START
    assert clips[1].stamps[0] - START == pytest.approx(3 * NS, abs=NS // 15)
    (second,) = of_bag(f"{place}:1", ROBOT, DROID_SINGLE_VIEW, tell=said.append)
    assert second.episode.instructions == ("two",)
    with pytest.raises(ValueError, match="bag: expected an episode of 0 to 1, got 2"):
        next(of_bag(f"{place}:2", ROBOT, DROID_SINGLE_VIEW, tell=said.append))
    with pytest.raises(ValueError, match="droid_single_view is for droid_single_view, not droid_s"):
        next(of_bag(place, ROBOT, EMBODIMENTS["droid_sim"], tell=said.append))
