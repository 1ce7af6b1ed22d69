# SPDX-License-Identifier: Apache-2.0
"""What a rosbag2 recording (mcap or sqlite3) of our topics holds, in policy units. Needs no ROS.

Pictures stay in the bag, only their stamps are kept: `read_pictures` decodes those that are asked
for.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.interface import NS
from ...robot import topic_names
from ...robot.images import to_rgb
from ...robot.recorded_robot import RecordedRobot
from ...robot.topic_names import COMMANDS, RECORDED

_DRY = (topic_names.COMMAND, topic_names.ACTION_CHUNK)  # published while nothing is executed, too


@dataclasses.dataclass(frozen=True, slots=True)
class Motion:
    """The joint targets of one message, in effect from `begin` (ns) on.

    values: float64 [points, D] at `times` (ns); the last point is held; NaN: a joint that the
    message does not name.
    """

    source: str
    begin: int
    times: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One bag.

    Every time is a header stamp in ns, and what has no header got the stamp of the joint states
    beside it.

    states: for each joint its stamps [N] and positions [N]; stamps: view -> those of its pictures
    [N], rising; instructions: (since when, text); resets: (when, task, seed) of the simulation's
    episodes.
    """

    path: Path
    cameras: Mapping[str, str]
    states: Sequence[tuple[np.ndarray, np.ndarray]]
    stamps: Mapping[str, np.ndarray]
    motions: Sequence[Motion]
    instructions: Sequence[tuple[int, str]]
    resets: Sequence[tuple[int, str, int]]


def read_recording(path: Path, robot: RecordedRobot, tell: Callable[[str], None]) -> Recording:
    """Read all of a bag but its pictures.

    ValueError names a topic that is missing and what was expected on it.
    """
    with _opened(path) as bag:
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
        cameras = {view: _camera(path, robot, view, counts) for view in robot.embodiment.views}
        if not counts.get(robot.topics[topic_names.JOINT_STATES]):
            raise _missing(path, robot, topic_names.JOINT_STATES, "sensor_msgs/JointState", counts)
        keys = {topic: name for name, topic in robot.topics.items() if name in RECORDED}
        keys |= {topic: view for view, topic in cameras.items()}
        gathered = _Gathered(path, robot)
        for topic, received, message in _messages(bag, list(keys)):
            gathered.add(keys[topic], received, message)
    return gathered.recording(cameras, tell)


def read_pictures(recording: Recording, view: str, stamps: np.ndarray) -> Iterator[np.ndarray]:
    """The pictures of these stamps (rising.

    Repeated ones are repeated), uint8 [H, W, 3] RGB each.
    """
    wanted = collections.Counter(stamps.tolist())
    topic, picture = recording.cameras[view], None
    with _opened(recording.path) as bag:
        for _, _, message in _messages(bag, [topic]):
            stamp = _ns(message.header.stamp)
            if times := wanted.pop(stamp, 0):
                try:
                    picture = to_rgb(message)
                except ValueError as error:
                    raise ValueError(
                        f"{recording.path}: {topic} at {stamp / NS:.3f} s: {error}"
                    ) from None
                for _ in range(times):
                    yield picture
            if not wanted:
                return


class _Gathered:
    """Messages as they come out of the bag, and what they say together."""

    def __init__(self, path: Path, robot: RecordedRobot) -> None:
        self._path, self._robot = path, robot
        self._states: dict[str, list[tuple[int, float]]] = collections.defaultdict(list)
        self._stamps: dict[str, list[int]] = {view: [] for view in robot.embodiment.views}
        self._clock: list[tuple[int, int]] = []  # received, stamp
        self._others: list[tuple[str, int, Any]] = []

    def add(self, key: str, received: int, message: Any) -> None:
        if key in self._stamps:
            self._stamps[key].append(_ns(message.header.stamp))
        elif key == topic_names.JOINT_STATES:
            stamp = _ns(message.header.stamp)
            self._clock.append((received, stamp))
            for joint, position in zip(message.name, message.position, strict=False):
                self._states[joint].append((stamp, position))
        else:
            self._others.append((key, received, message))

    def recording(self, cameras: Mapping[str, str], tell: Callable[[str], None]) -> Recording:
        states = [self._state(joint) for joint in self._robot.joints.joints]
        pictures = {view: np.array(seen) for view, seen in self._stamps.items()}
        stamps = {view: seen[self._rising(cameras[view], seen)] for view, seen in pictures.items()}
        when = _clock(self._clock)
        others = [(key, when(received), message) for key, received, message in self._others]
        armed = [
            (at, message.armed)
            for key, at, message in others
            if key == topic_names.COMMANDER_STATUS
        ]
        sent = [
            _motion(self._robot, key, at, message) for key, at, message in others if key in COMMANDS
        ]
        motions = [
            motion
            for motion in sent
            if motion.source not in _DRY or latest(armed, motion.begin, True)
        ]
        if dropped := len(sent) - len(motions):
            tell(f"{self._path}: {dropped} commands of a dry run left out")
        begun: dict[int, tuple[int, str, int]] = {}
        for key, _, message in others:
            if key == topic_names.SIM_STATUS:
                reset = _ns(message.header.stamp) - round(float(message.elapsed) * NS)
                begun.setdefault(message.episode, (reset, message.task, message.seed))
        ordered = sorted(motions, key=lambda motion: motion.begin)
        return Recording(
            self._path,
            cameras,
            states,
            stamps,
            ordered,
            _instructions(others),
            sorted(begun.values()),
        )

    def _state(self, joint: str) -> tuple[np.ndarray, np.ndarray]:
        topic, seen = self._robot.topics[topic_names.JOINT_STATES], self._states.get(joint)
        if not seen:
            raise ValueError(
                f"{self._path}: {topic} lacks the joint {joint!r}; it has {sorted(self._states)}"
            )
        stamps, positions = (np.array(part) for part in zip(*seen, strict=True))
        if not np.isfinite(positions).all():
            raise ValueError(f"{self._path}: {topic}: positions of {joint!r} are not finite")
        joints, kept = self._robot.joints, self._rising(topic, stamps)
        column = joints.joints.index(joint)
        full = np.full((len(kept), len(joints.joints)), np.nan)
        full[:, column] = positions[kept]
        return stamps[kept], joints.to_policy(full)[:, column]

    def _rising(self, topic: str, stamps: np.ndarray) -> np.ndarray:
        """Which messages, in the order of their stamps, each once.

        A clock that was set back cannot be sorted.
        """
        if (back := np.diff(stamps, prepend=stamps[:1]).min()) < -NS:
            raise ValueError(
                f"{self._path}: the stamps of {topic} go back by {-back / NS:.1f} s: expected "
                "one clock in a bag"
            )
        return np.unique(stamps, return_index=True)[1]


def _clock(pairs: Sequence[tuple[int, int]]) -> Callable[[int], int]:
    """From the time of reception (ns) to that of the stamps, by messages that have both."""
    received, stamps = np.array(sorted(pairs)).T
    offsets = (stamps - received).astype(float)
    return lambda at: (
        at + round(float(np.interp(at - received[0], received - received[0], offsets)))
    )


def _instructions(others: Sequence[tuple[str, int, Any]]) -> list[tuple[int, str]]:
    """(since when, text) from the instruction topic, else the simulation's status, else chunks."""
    for source in (topic_names.INSTRUCTION, topic_names.SIM_STATUS, topic_names.ACTION_CHUNK):
        texts = [
            (at, message.data if key == topic_names.INSTRUCTION else message.instruction)
            for key, at, message in others
            if key == source
        ]
        if any(text.strip() for _, text in texts):
            return sorted(texts)
    return []


def latest(events: Sequence[tuple[int, Any]], at: int, default: Any) -> Any:
    """The value of the newest event until `at`."""
    return next((value for when, value in reversed(events) if when <= at), default)


def _motion(robot: RecordedRobot, key: str, received: int, message: Any) -> Motion:
    arm = [joint for joint in robot.joints.joints if joint != robot.joints.gripper]
    stamp = _ns(message.header.stamp) if hasattr(message, "header") else 0
    begin, joints, times = stamp or received, arm, np.zeros(1, np.int64)
    if key == topic_names.TRAJECTORY:
        joints, rows = message.joint_names, [point.positions for point in message.points]
        times = np.array([_ns(point.time_from_start) for point in message.points], np.int64)
    elif key == topic_names.ACTION_CHUNK:
        joints, rows = message.joint_names, list(np.reshape(message.values, (message.horizon, -1)))
        times = np.arange(1, message.horizon + 1) * _ns(message.step)
    elif key == topic_names.GRIPPER:
        joints, rows = [robot.joints.gripper], [message.data[:1]]
    elif key == topic_names.POSITIONS:
        rows = [message.data]
    else:
        joints, rows = message.name, [message.position]
    full = np.full((len(rows), len(robot.joints.joints)), np.nan)
    for row, values in zip(full, rows, strict=True):
        if len(values) != len(joints) or not len(values):
            raise ValueError(
                f"{robot.topics[key]}: {len(values)} positions for the joints {list(joints)}"
            )
        known = dict(zip(joints, values, strict=True))
        row[:] = [known.get(joint, np.nan) for joint in robot.joints.joints]
    if np.isnan(full).all():
        raise ValueError(
            f"{robot.topics[key]}: moves {list(joints)}, expected some of "
            f"{list(robot.joints.joints)}"
        )
    # its first points may be over when it comes
    late = key in (topic_names.TRAJECTORY, topic_names.ACTION_CHUNK)
    return Motion(
        key, max(begin, received) if late else begin, begin + times, robot.joints.to_policy(full)
    )


def _ns(time: Any) -> int:
    return time.sec * NS + time.nanosec


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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from rosbags.rosbag2 import Reader, ReaderError
    from rosbags.serde import SerdeError
    from rosbags.typesys import TypesysError

    try:
        with Reader(path) as bag:
            yield bag
    except FileNotFoundError as error:
        hint = "; `ros2 bag reindex` writes it anew" * path.exists()
        raise ValueError(f"{path}: not a rosbag2 recording ({error}){hint}") from None
    except (ReaderError, SerdeError, TypesysError) as error:
        raise ValueError(
            f"{path}: not readable as a rosbag2 recording ({' '.join(str(error).split())})"
        ) from None


def _messages(bag: Any, topics: Sequence[str]) -> Iterator[tuple[str, int, Any]]:
    """(topic, time of reception, message) in the order of reception.

    The bag itself says what its types are.
    """
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    connections = [connection for connection in bag.connections if connection.topic in topics]
    store = get_typestore(Stores.ROS2_JAZZY)
    for kind, definition in {each.msgtype: each.msgdef for each in connections}.items():
        if kind not in store.fielddefs:
            if not definition.data:
                raise ValueError(
                    f"{bag.path}: does not define {kind}: expected a bag of ROS 2 Iron or later"
                )
            types = get_types_from_msg(definition.data, kind)
            store.register(
                {name: fields for name, fields in types.items() if name not in store.fielddefs}
            )
    if connections:
        for connection, received, data in bag.messages(connections=connections):
            yield connection.topic, received, store.deserialize_cdr(data, connection.msgtype)
