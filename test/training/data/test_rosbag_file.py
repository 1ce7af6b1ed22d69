# SPDX-License-Identifier: Apache-2.0
"""Damaged recordings and wrong topics are one line; pictures come in the order asked for."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.recorded_robot import read_robot
from cosmos3_ros.training.data.rosbag_file import find_topics, messages, opened, read_pictures

CAMERA = "/camera/exterior_1/image_raw"
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


def write(
    path: Path, written: list[tuple[str, str, Any]], plugin: StoragePlugin = StoragePlugin.MCAP
) -> Path:
    """A bag of messages (topic, type, message), one received in each ms."""
    with Writer(path, version=9, storage_plugin=plugin) as bag:
        known = {}
        for at, (topic, kind, message) in enumerate(written):
            if (topic, kind) not in known:
                known[topic, kind] = bag.add_connection(topic, kind, typestore=STORE)
            data = STORE.serialize_cdr(message, kind)
            bag.write(known[topic, kind], NS + at * 1_000_000, data)
    return path


def header(ns: int) -> Any:
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=ns // NS, nanosec=ns % NS)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id="")


def picture(value: int, size: tuple[int, int] = (4, 6)) -> tuple[str, str, Any]:
    kind = "sensor_msgs/msg/Image"
    fields = {"height": size[0], "width": size[1], "encoding": "rgb8", "step": 3 * size[1]}
    data = np.full(size[0] * size[1] * 3, value, np.uint8)
    message = TYPES[kind](header=header(NS), is_bigendian=0, data=data, **fields)
    return CAMERA, kind, message


def text(topic: str) -> tuple[str, str, Any]:
    return topic, "std_msgs/msg/String", TYPES["std_msgs/msg/String"](data="x")


def joints() -> tuple[str, str, Any]:
    kind, none = "sensor_msgs/msg/JointState", np.zeros(0)
    fields = {"name": ["a"], "position": np.ones(1), "velocity": none, "effort": none}
    return "/joint_states", kind, TYPES[kind](header=header(NS), **fields)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("how", range(14))
def test_whatever_is_damaged_is_one_line(tmp_path: Path, plugin: StoragePlugin, how: int) -> None:
    """Cut off anywhere, emptied, overwritten: a line with its name, or all that is undamaged."""
    random = np.random.default_rng(how)
    whole = write(tmp_path / "whole", [picture(n, (24, 32)) for n in range(60)], plugin)
    bag = Path(shutil.copytree(whole, tmp_path / "bag"))
    (file,) = (each for each in bag.iterdir() if each.suffix in (".mcap", ".db3"))
    data = bytearray((whole / file.name.replace("bag", "whole")).read_bytes())
    at, length = int(random.integers(len(data))), int(random.integers(1, 5000))
    if how < 2:
        data = data[: (0, 100)[how]]
    elif how < 8:
        data = data[:at]
    else:
        data[at : at + length] = random.integers(0, 256, len(data[at : at + length])).tobytes()
    file.write_bytes(data)
    count, fault = 0, ""
    try:
        with opened(bag) as readable:
            count = sum(1 for _ in messages(bag, readable, [CAMERA]))
    except ValueError as error:
        fault = str(error)
    assert fault.startswith(f"{bag}: ") or (how >= 8 and not fault)
    assert "\n" not in fault
    assert count <= 60


def test_a_recording_that_was_cut_off_says_what_saves_it(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", [picture(n) for n in range(9)])
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-200])
    with (
        pytest.raises(ValueError, match=r"bag: not readable .*cut off, `mcap recover`"),
        opened(bag),
    ):
        pass


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            text("/joint_states"),
            "/joint_states has messages of std_msgs/String, expected sensor_msgs/J",
        ),
        (text(CAMERA), "image_raw has messages of std_msgs/String, expected sensor_msgs/Image or "),
        (
            text("/arm_controller/joint_trajectory"),
            "expected trajectory_msgs/JointTrajectory .`remappings` of droid_single_view.yaml",
        ),
        (text("/gripper_controller/commands"), "expected std_msgs/Float64MultiArray"),
        ((CAMERA.replace("raw", "new"), *text("")[1:]), ""),
    ],
)
def test_a_topic_of_another_type_is_named(
    tmp_path: Path, wrong: tuple[str, str, Any], words: str
) -> None:
    """Also beside messages of the right type; topics that nobody asked for may hold anything."""
    robot = read_robot("droid_single_view")
    path = write(tmp_path / "bag", [picture(1), joints(), wrong])
    with opened(path) as bag:
        if not words:
            assert find_topics(path, bag, robot)[1] == {"exterior_1": CAMERA}
            return
        with pytest.raises(ValueError, match=words):
            find_topics(path, bag, robot)


def test_pictures_come_in_the_order_asked_for_not_as_recorded(tmp_path: Path) -> None:
    path = write(tmp_path / "bag", [joints(), *(picture(value) for value in range(0, 50, 10))])
    numbers = [0, 2, 2, 1, 4]
    shown = read_pictures(path, CAMERA, numbers, [NS] * 5)
    assert [int(each.max()) for each in shown] == [0, 20, 20, 10, 40]


def test_a_picture_of_another_size_or_damaged_is_named_with_its_time(tmp_path: Path) -> None:
    path = write(tmp_path / "sizes", [picture(1), picture(2, (8, 6))])
    with pytest.raises(ValueError, match=rf"{CAMERA} at 3.000 s: a picture of 6 x 8 .* of 6 x 4"):
        list(read_pictures(path, CAMERA, [0, 1], [2 * NS, 3 * NS]))
    _, jpeg = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))
    kind = "sensor_msgs/msg/CompressedImage"
    broken = TYPES[kind](header=header(NS), format="jpeg", data=jpeg.ravel()[:-9])
    path = write(tmp_path / "broken", [(CAMERA, kind, broken)])
    with pytest.raises(ValueError, match=r"at 2\.000 s: compressed image .* is damaged"):
        list(read_pictures(path, CAMERA, [0], [2 * NS]))


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ("", "there is no such file"),
        ("notes.txt", "expected a folder with metadata.yaml, or one .mcap or .db3 file"),
        ("bag_0.mcap", "expected metadata.yaml beside its files: `ros2 bag reindex` writes it"),
        ("meta/info.json", "it is a LeRobot dataset, which `cosmos3 train` reads as it is"),
    ],
)
def test_what_is_no_recording_is_told_what_was_expected(
    holds: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "bag"
    if holds:
        (path / holds).parent.mkdir(parents=True)
        (path / holds).touch()
    with pytest.raises(ValueError, match=f"^{path}: not a rosbag2 recording: {said}"), opened(path):
        pass
