# SPDX-License-Identifier: Apache-2.0
"""Messages out of a rosbag2 file (mcap or sqlite3), or one line that says why not. Needs no ROS."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.interface import NS
from ...model.media.lfs_pointer import check_pointer
from ...robot import topic_names
from ...robot.images import to_rgb
from ...robot.recorded_robot import RecordedRobot
from ...robot.topic_names import command

_NUMBERS = ("std_msgs/msg/Float64MultiArray",)
_JOINTS = ("sensor_msgs/msg/JointState",)
_PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_TYPES = {
    topic_names.JOINT_STATES: _JOINTS,
    topic_names.ODOMETRY: ("nav_msgs/msg/Odometry",),
    topic_names.INSTRUCTION: ("std_msgs/msg/String",),
    topic_names.SIM_STATUS: ("cosmos3_ros/msg/TaskStatus",),
    topic_names.COMMANDER_STATUS: ("cosmos3_ros/msg/CommanderStatus",),
    topic_names.TRAJECTORY: ("trajectory_msgs/msg/JointTrajectory",),
    topic_names.POSITIONS: _NUMBERS,
    topic_names.JOINT_COMMAND: _JOINTS,
    topic_names.GRIPPER: _NUMBERS,
    topic_names.COMMAND: _JOINTS,
    topic_names.ACTION_CHUNK: ("cosmos3_ros/msg/ActionChunk",),
}


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A recording to read from; ValueError if it is none, or is damaged."""
    from rosbags.rosbag2 import Reader

    for file in [path] if path.is_file() else sorted(path.glob("*")):
        if file.is_file():
            check_pointer(file)
    with contextlib.ExitStack() as open_until_left:
        try:
            bag = open_until_left.enter_context(Reader(path))
        except FileNotFoundError:
            raise ValueError(f"{path}: not a rosbag2 recording: {_expected(path)}") from None
        except Exception as error:  # whatever a parser meets in a damaged file
            raise _damaged(path, error) from None
        yield bag


def find_topics(
    path: Path, bag: Any, robot: RecordedRobot
) -> tuple[dict[str, str], dict[str, str]]:
    """What to read: topic -> its name in this package, or its view; and view -> topic.

    ValueError names a topic that is missing or of another type, and what was expected on it.
    """
    counts = {topic: info.msgcount for topic, info in bag.topics.items()}
    cameras = {view: _camera(path, robot, view, counts) for view in robot.embodiment.views}
    if not counts.get(robot.topics[topic_names.JOINT_STATES]):
        raise _missing(path, robot, topic_names.JOINT_STATES, "sensor_msgs/JointState", counts)
    known = {name: name for name in robot.heard} | {name: command(name) for name in robot.commands}
    keys = {topic: name for name, topic in robot.topics.items() if name in known}
    types: dict[str, tuple[str, ...]] = {topic: _TYPES[known[name]] for topic, name in keys.items()}
    types |= dict.fromkeys(cameras.values(), _PICTURES)
    for connection in bag.connections:
        expected = types.get(connection.topic)
        if expected and connection.msgcount and connection.msgtype not in expected:
            names = " or ".join(_short(kind) for kind in expected)
            raise ValueError(
                f"{path}: {connection.topic} has messages of {_short(connection.msgtype)}, "
                f"expected {names} (`remappings` of {robot.name}.yaml name the topics)"
            )
    return keys | {topic: view for view, topic in cameras.items()}, cameras


def messages(path: Path, bag: Any, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
    """(topic, time of reception in ns, message) in the order of reception.

    The bag itself says what its types are. ValueError if they are unknown or a message is damaged.
    """
    connections = [connection for connection in bag.connections if connection.topic in topics]
    if not connections:
        return
    store = _store(path, connections)
    read, number = bag.messages(connections=connections), 0
    while True:
        try:
            connection, received, data = next(read)
        except StopIteration:
            return
        except Exception as error:  # whatever a parser meets in a damaged file
            raise _damaged(path, error, f" after {number} messages") from None
        try:
            message = store.deserialize_cdr(data, connection.msgtype)
        except Exception as error:
            raise ValueError(
                f"{path}: {connection.topic}: the message received at {received / NS:.3f} s is "
                f"damaged ({_line(error)})"
            ) from None
        number += 1
        yield connection.topic, received, message


def read_pictures(
    path: Path, topic: str, numbers: Sequence[int], stamps: Sequence[int]
) -> Iterator[np.ndarray]:
    """The pictures that are these messages of a topic, in this order, uint8 [H, W, 3] RGB each.

    numbers: equal ones stand together, and are repeated; stamps: of each, ns. ValueError for one
    that does not decode, or is of another size than the first.
    """
    last = {number: at for at, number in enumerate(numbers)}
    decoded, given, size = dict[int, np.ndarray](), 0, None
    with opened(path) as bag:
        for number, (_, _, message) in enumerate(messages(path, bag, [topic])):
            if number not in last:
                continue
            try:
                picture = to_rgb(message)
                size = size or picture.shape
                check_size(picture.shape, size)
            except ValueError as error:
                at = stamps[last[number]] / NS
                raise ValueError(f"{path}: {topic} at {at:.3f} s: {error}") from None
            decoded[number] = picture
            while given < len(numbers) and (now := numbers[given]) in decoded:
                yield decoded[now]
                if last[now] == given:
                    del decoded[now]
                given += 1
            if given == len(numbers):
                return


def check_size(shape: Sequence[int], before: Sequence[int]) -> None:
    """ValueError if a picture [H, W, ...] is not of the size of those before it."""
    if tuple(shape[:2]) != tuple(before[:2]):
        raise ValueError(
            f"a picture of {shape[1]} x {shape[0]} pixels, after such of "
            f"{before[1]} x {before[0]}: expected one size"
        )


def _store(path: Path, connections: list[Any]) -> Any:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    for kind, definition in {each.msgtype: each.msgdef for each in connections}.items():
        if kind in store.fielddefs:
            continue
        if not definition.data:
            raise ValueError(
                f"{path}: does not define {kind}: expected a bag of ROS 2 Iron or later"
            )
        try:
            types = get_types_from_msg(definition.data, kind)
            known = store.fielddefs
            store.register({name: each for name, each in types.items() if name not in known})
        except Exception as error:
            raise ValueError(f"{path}: the definition of {kind}: {_line(error)}") from None
    return store


def _expected(path: Path) -> str:
    """What a recording would have to be, in the place of what is there."""
    if not path.is_dir():
        return "there is no such file"
    if (path / "meta/info.json").is_file():
        return "it is a LeRobot dataset, which `cosmos3 train` reads as it is"
    if any(file.suffix in (".mcap", ".db3") for file in path.iterdir()):
        return (
            "expected metadata.yaml beside its files: `ros2 bag reindex` writes it anew; one .mcap "
            "or .db3 file is read without"
        )
    return "expected a folder with metadata.yaml, or one .mcap or .db3 file"


def _damaged(path: Path, error: Exception, where: str = "") -> ValueError:
    hint = "; it was cut off, `mcap recover` saves the rest" * ("end magic" in str(error))
    return ValueError(f"{path}: not readable as a rosbag2 recording{where} ({_line(error)}){hint}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _short(kind: str) -> str:
    return kind.replace("/msg/", "/")


def _camera(path: Path, robot: RecordedRobot, view: str, counts: Mapping[str, int]) -> str:
    """The topic with the pictures of a view, compressed or raw: the one with more of them."""
    topics = [
        robot.topics[topic_names.camera(view, transport)] for transport in ("raw", "compressed")
    ]
    best = max(topics, key=lambda topic: counts.get(topic, 0))
    if not counts.get(best):
        raise _missing(
            path,
            robot,
            topic_names.camera(view, "raw"),
            "sensor_msgs/Image or CompressedImage",
            counts,
        )
    return best


def _missing(
    path: Path, robot: RecordedRobot, name: str, kind: str, counts: Mapping[str, int]
) -> ValueError:
    held = sorted(topic for topic, count in counts.items() if count)
    return ValueError(
        f"{path}: nothing on {robot.topics[name]} (expected {kind}; `remappings` of "
        f"{robot.name}.yaml name {name}); the bag holds {held}"
    )
