# SPDX-License-Identifier: Apache-2.0
"""What a rosbag2 recording (mcap or sqlite3) of our topics holds, in policy units. Needs no ROS.

Pictures stay in the bag, only their stamps and numbers are kept. Messages that cannot be believed
are left out, and `tell` hears which and why.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.interface import NS
from ...robot import topic_names
from ...robot.recorded_robot import RecordedRobot
from .command_timeline import Motion, read_motion
from .rosbag_file import find_topics, messages, opened
from .stray_messages import FAR, Stray, stray_positions, stray_stamps

Tell = Callable[[str], None]
When = Callable[[int], int]

_DRY = (topic_names.COMMAND, topic_names.ACTION_CHUNK)  # published while nothing is executed, too
_STATUS_SLACK = 10 * NS  # what the stamp of a simulation's status may differ from its reception
_WORDS = 3  # reasons that are told of each topic


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One bag.

    Every time is a header stamp in ns, and what has no header got the stamp of the joint states
    beside it.

    states: for each joint its stamps [N] and positions [N]; stamps: view -> those of its pictures
    [N], rising; numbers: view -> which messages of its topic these are [N]; instructions: (since
    when, text); resets: (when, task, seed) of the simulation's episodes.
    """

    path: Path
    cameras: Mapping[str, str]
    states: Sequence[tuple[np.ndarray, np.ndarray]]
    stamps: Mapping[str, np.ndarray]
    numbers: Mapping[str, np.ndarray]
    motions: Sequence[Motion]
    instructions: Sequence[tuple[int, str]]
    resets: Sequence[tuple[int, str, int]]


def read_recording(path: Path, robot: RecordedRobot, tell: Tell) -> Recording:
    """Read all of a bag but its pictures.

    ValueError names a topic that is missing or of another type and what was expected on it, and
    what contradicts itself.
    """
    with opened(path) as bag:
        keys, cameras = find_topics(path, bag, robot)
        gathered = _Gathered(path, robot, cameras, tell)
        for topic, received, message in messages(path, bag, keys):
            gathered.add(keys[topic], received, message)
    return gathered.recording()


class _Gathered:
    """Messages as they come out of the bag, and what they say together."""

    def __init__(
        self, path: Path, robot: RecordedRobot, cameras: Mapping[str, str], tell: Tell
    ) -> None:
        self._path, self._robot, self._cameras, self._tell = path, robot, cameras, tell
        self._heard = collections.Counter[str]()
        self._begin: int | None = None  # when the first message was received
        # (stamp, received) of every message
        self._pictures: dict[str, list[tuple[int, int]]] = {view: [] for view in cameras}
        self._joints: list[tuple[int, int]] = []
        self._positions: list[list[float]] = []  # of the robot's joints, in each of `_joints`
        self._others: list[tuple[str, int, Any]] = []
        # topic -> why messages are left out -> when they were received
        self._faults: dict[str, dict[str, list[int]]] = collections.defaultdict(
            lambda: collections.defaultdict(list)
        )
        self._names: dict[str, None] = {}  # of all joints, in the order in which they came

    def add(self, key: str, received: int, message: Any) -> None:
        self._begin = received if self._begin is None else self._begin
        self._heard[key] += 1
        if key in self._pictures:
            self._pictures[key].append((_ns(message.header.stamp), received))
        elif key == topic_names.JOINT_STATES:
            named = list(message.name), list(message.position)
            self._add_joints(key, received, message.header, *named)
        elif key == topic_names.ODOMETRY:
            twist, base = message.twist.twist, self._robot.base
            speeds = (twist.linear.x, twist.linear.y, twist.angular.z)
            known = {name: v for name, v in zip(base, speeds, strict=True) if name}
            self._add_joints(key, received, message.header, [*known], [*known.values()])
        else:
            self._others.append((key, received, message))

    def _add_joints(
        self, key: str, received: int, header: Any, names: list[str], positions: list[float]
    ) -> None:
        """Positions of joints, or what a base has in place of them."""
        self._names |= dict.fromkeys(names)
        joints = self._robot.joints.joints
        if not positions or not set(joints) & set(names):
            return  # velocities or efforts only, or another device
        if len(names) != len(positions) or len(set(names)) < len(names):
            why = f"{len(set(names))} different names, {len(positions)} positions"
            self._faults[key][why].append(received)
            return
        known = dict(zip(names, positions, strict=True))
        if wrong := [joint for joint in joints if not np.isfinite(known.get(joint, 0.0))]:
            self._faults[key][f"{wrong} not finite"].append(received)
            return
        self._joints.append((_ns(header.stamp), received))
        self._positions.append([known.get(joint, np.nan) for joint in joints])

    def recording(self) -> Recording:
        """ValueError if what was heard contradicts itself, or lacks a joint."""
        when = self._clock()
        states = self._states(when)
        stamps, numbers = {}, {}
        for view, seen in self._pictures.items():
            sorted_stamps, kept = self._believed(view, seen, when)
            stamps[view], first = np.unique(sorted_stamps, return_index=True)
            numbers[view] = kept[first]
        self._check_clocks(states, stamps)
        told = [(key, when(received), message) for key, received, message in self._others]
        told.sort(key=lambda each: each[1])
        motions, resets = self._executed(self._motions(when), told), self._resets(when)
        self._report()
        cameras, instructions = self._cameras, _instructions(told)
        return Recording(
            self._path, cameras, states, stamps, numbers, motions, instructions, resets
        )

    def _clock(self) -> When:
        """From the time of reception (ns) to that of the stamps, by messages that have both."""
        for seen in (self._joints, *self._pictures.values()):
            pairs = np.array(seen, np.int64).reshape(-1, 2)
            if 2 * np.count_nonzero(pairs[:, 0]) > len(pairs):
                break
        else:
            return lambda received: received
        try:
            kept = np.delete(pairs, _all(stray_stamps(*pairs.T)), axis=0)
        except ValueError:  # said where the topic is read
            kept = pairs[pairs[:, 0] != 0]
        offsets, times = (kept[:, 0] - kept[:, 1]).astype(float), kept[:, 1] - kept[0, 1]
        since = int(kept[0, 1])
        return lambda received: received + round(float(np.interp(received - since, times, offsets)))

    def _believed(
        self, key: str, seen: Sequence[tuple[int, int]], when: When
    ) -> tuple[np.ndarray, np.ndarray]:
        """Stamps (ns) in their order, and which messages have them; notes those to leave out."""
        stamps, received = np.array(seen, np.int64).reshape(-1, 2).T
        if 2 * np.count_nonzero(stamps == 0) > len(stamps):
            self._tell(f"{self._path}: {self._topic(key)}: no stamps, taken as of their reception")
            stamps = np.array([stamp or when(int(at)) for stamp, at in seen], np.int64)
        try:
            strays = stray_stamps(stamps, received)
        except ValueError as error:
            raise ValueError(f"{self._path}: the stamps of {self._topic(key)} {error}") from None
        self._leave_out(key, strays, received)
        kept = np.delete(np.arange(len(stamps)), _all(strays))
        kept = kept[np.argsort(stamps[kept], kind="stable")]
        return stamps[kept], kept

    def _states(self, when: When) -> list[tuple[np.ndarray, np.ndarray]]:
        topic, joints = self._topic(topic_names.JOINT_STATES), self._robot.joints
        table = np.reshape(self._positions, (-1, len(joints.joints)))
        if lacking := [
            joint
            for joint, column in zip(joints.joints, table.T, strict=True)
            if np.isnan(column).all()
        ]:
            self._report()
            if lacking[0] in self._robot.base:
                topic = self._topic(topic_names.ODOMETRY)
            raise ValueError(
                f"{self._path}: {topic} lacks the joint {lacking[0]!r}; it has "
                f"{sorted(self._names)}"
            )
        stamps, kept = self._believed(topic_names.JOINT_STATES, self._joints, when)
        table, received = table[kept], np.array(self._joints, np.int64)[kept, 1]
        try:
            stray = stray_positions(joints.joints, self._robot.velocity, stamps, table)
        except ValueError as error:
            raise ValueError(f"{self._path}: {topic}: joint states {error}") from None
        self._leave_out(topic_names.JOINT_STATES, [stray], received)
        stamps, table = np.delete(stamps, stray.which), np.delete(table, stray.which, axis=0)
        states = []
        for column, positions in enumerate(joints.to_policy(table).T):
            known = np.flatnonzero(np.isfinite(table[:, column]))
            rising, first = np.unique(stamps[known], return_index=True)
            states.append((rising, positions[known[first]]))
        return states

    def _check_clocks(
        self, states: Sequence[tuple[np.ndarray, np.ndarray]], pictures: Mapping[str, np.ndarray]
    ) -> None:
        """ValueError if two topics have nothing to do with each other."""
        joints = self._topic(topic_names.JOINT_STATES)
        spans = [(self._cameras[view], stamps) for view, stamps in pictures.items()]
        spans += [(joints, stamps) for stamps, _ in states]
        if none := [topic for topic, stamps in spans if not len(stamps)]:
            self._report()
            raise ValueError(f"{self._path}: {none[0]}: no message can be used")
        late, early = max(spans, key=lambda each: each[1][0]), min(spans, key=lambda e: e[1][-1])
        if late[1][0] - early[1][-1] > FAR:
            raise ValueError(
                f"{self._path}: the stamps of {late[0]} begin at {late[1][0] / NS:.3f} s, those of "
                f"{early[0]} end at {early[1][-1] / NS:.3f} s: expected one clock in a bag"
            )

    def _motions(self, when: When) -> list[Motion]:
        motions, whose = [], self._robot.commands
        heard = {key for key, _, _ in self._others if key in whose}
        for key, received, message in self._others:
            if group := whose.get(key):
                try:
                    joints, at = self._robot.joints, when(received)
                    motions.append(read_motion(joints, key, at, message, group))
                except ValueError as error:
                    self._faults[key][str(error)].append(received)
        for key in sorted(heard - {motion.source for motion in motions}):
            why = next(iter(self._faults[key]))
            raise ValueError(f"{self._path}: {self._topic(key)}: {why}, and so all others")
        return sorted(motions, key=lambda motion: motion.begin)

    def _executed(
        self, motions: list[Motion], told: Sequence[tuple[str, int, Any]]
    ) -> list[Motion]:
        """Without what the commander or the policy said while nothing was executed."""
        status = topic_names.COMMANDER_STATUS
        armed = [(at, message.armed) for key, at, message in told if key == status]
        executed = [
            motion
            for motion in motions
            if motion.source not in _DRY or latest(armed, motion.begin, True)
        ]
        if dropped := len(motions) - len(executed):
            self._tell(f"{self._path}: {dropped} commands of a dry run left out")
        return executed

    def _resets(self, when: When) -> list[tuple[int, str, int]]:
        begun: dict[int, tuple[int, str, int]] = {}
        for key, received, message in self._others:
            if key == topic_names.SIM_STATUS:
                at = when(received)
                stamp = _ns(message.header.stamp) or at
                if abs(stamp - at) > _STATUS_SLACK:
                    self._faults[key]["stamped far from its reception"].append(received)
                    continue
                reset = stamp - round(float(message.elapsed) * NS)
                begun.setdefault(message.episode, (reset, message.task, message.seed))
        return sorted(begun.values())

    def _topic(self, key: str) -> str:
        return self._cameras.get(key) or self._robot.topics[key]

    def _leave_out(self, key: str, strays: Sequence[Stray], received: np.ndarray) -> None:
        for stray in strays:
            if len(stray.which):
                self._faults[key][stray.why] += received[stray.which].tolist()

    def _report(self) -> None:
        """Say which messages were left out, when they came, and why."""
        for key, faults in self._faults.items():
            for why, times in list(faults.items())[:_WORDS]:
                begin, end = ((at - (self._begin or 0)) / NS for at in (min(times), max(times)))
                span = (
                    f"at {begin:.2f} s" if len(times) == 1 else f"from {begin:.2f} to {end:.2f} s"
                )
                self._tell(
                    f"{self._path}: left out {len(times)} of {self._heard[key]} messages of "
                    f"{self._topic(key)}, {span}: {why}"
                )
            if more := sum(len(times) for times in list(faults.values())[_WORDS:]):
                self._tell(f"{self._path}: left out {more} more of {self._topic(key)}")


def _all(strays: Sequence[Stray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, int), *(stray.which for stray in strays)])


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


def _ns(time: Any) -> int:
    return time.sec * NS + time.nanosec
