# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from the types of `model.interface`.

Pure functions; a wrong message raises ValueError.
"""

from __future__ import annotations

import array
import types
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import PoseStamped, TwistStamped
from nav_msgs.msg import Path
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from .. import msg
from ..execution.candidates.candidate import Candidate
from ..execution.chunk_player import ChunkPlayer
from ..execution.strategies import DEFAULT
from ..execution.trajectory_replacement import Waypoints
from ..model.embodiment.rotations import transform_to_pose
from ..model.interface import NS, ActionChunk, Answer, Future, Surprise
from ..robot.images import encode, to_rgb


def to_ns(time: Time | Duration) -> int:
    """A ROS time or duration in ns."""
    return time.sec * NS + time.nanosec


def to_time(ns: int) -> Time:
    """ns as a ROS time."""
    return Time(sec=ns // NS, nanosec=ns % NS)


def to_duration(ns: int) -> Duration:
    """ns as a ROS duration."""
    return Duration(sec=ns // NS, nanosec=ns % NS)


def header(stamp: int, frame: str = "") -> Header:
    """A header with this stamp (ns)."""
    return Header(stamp=to_time(stamp), frame_id=frame)


def chunk_message(
    chunk: ActionChunk,
    *,
    number: int,
    instruction: str,
    embodiment: str,
    seconds: dict[str, float],
    strategy: str = DEFAULT,
) -> msg.ActionChunk:
    """A chunk in the robot's names and units; seconds: how long each stage took, in order."""
    return msg.ActionChunk(
        header=header(chunk.stamp),
        step=to_duration(chunk.step),
        horizon=len(chunk.values),
        joint_names=list(chunk.names),
        values=array.array("f", np.ascontiguousarray(chunk.values).tobytes()),
        discrete_joints=list(chunk.discrete),
        strategy=strategy,
        instruction=instruction,
        number=number,
        embodiment=embodiment,
        latency_stages=list(seconds),
        latency_seconds=array.array("f", seconds.values()),
    )


def chunk_from(message: msg.ActionChunk) -> ActionChunk:
    """The chunk in a message; ValueError if rows, names and values do not fit or are not finite."""
    rows, width = message.horizon, len(message.joint_names)
    if rows * width != len(message.values) or rows == 0:
        raise ValueError(f"{len(message.values)} values for {rows} rows of {width} joints")
    return ActionChunk(
        values=np.frombuffer(message.values, np.float32).reshape(rows, width),
        names=tuple(message.joint_names),
        stamp=to_ns(message.header.stamp),
        step=to_ns(message.step),
        discrete=tuple(message.discrete_joints),
    )


def candidate_from(message: JointTrajectory) -> Candidate:
    """The candidate in a message; ValueError of one line if names and points do not fit."""
    points, width = message.points, len(message.joint_names)
    for number, point in enumerate(points, start=1):
        if len(point.positions) != width:
            raise ValueError(
                f"candidate: expected {width} positions, one of each joint, in point {number} of "
                f"{len(points)}, got {len(point.positions)}"
            )
    times = [to_ns(point.time_from_start) / NS for point in points]
    positions = np.array([point.positions for point in points], np.float64)
    return Candidate(
        tuple(message.joint_names), np.array(times), positions.reshape(len(points), width)
    )


def candidate_message(candidate: Candidate) -> JointTrajectory:
    """The same as a message."""
    points = [
        JointTrajectoryPoint(
            positions=array.array("d", row), time_from_start=to_duration(round(seconds * NS))
        )
        for seconds, row in zip(candidate.times, candidate.positions, strict=True)
    ]
    return JointTrajectory(joint_names=list(candidate.names), points=points)


def future_from(message: msg.Future) -> Future:
    """The video in a message; ValueError if it has none, or pictures that cannot be read."""
    if not message.frames:
        raise ValueError("future: expected frames, got none")
    frames = np.stack([to_rgb(frame) for frame in message.frames])
    return Future(frames, to_ns(message.header.stamp), to_ns(message.step))


def future_message(future: Future, *, number: int, instruction: str) -> msg.Future:
    """The predicted video as JPEG frames, each with the stamp it is expected at."""
    frames = []
    for k, frame in enumerate(future.frames):
        image = encode(frame)
        image.header = header(future.stamp + k * future.step, "cosmos3_canvas")
        frames.append(image)
    return msg.Future(
        header=header(future.stamp, "cosmos3_canvas"),
        frames=frames,
        step=to_duration(future.step),
        number=number,
        instruction=instruction,
    )


def surprise_message(
    surprise: Surprise, *, number: int, instruction: str, alarm: bool, reaction: str
) -> msg.Surprise:
    """How far what came was from the future of chunk `number`; reaction: to alarms."""
    rows, columns = surprise.grid.shape
    return msg.Surprise(
        header=header(surprise.stamp, "cosmos3_canvas"),
        number=number,
        instruction=instruction,
        views=list(surprise.values),
        values=array.array("f", surprise.values.values()),
        value=surprise.value,
        rows=rows,
        columns=columns,
        grid=array.array("f", np.ascontiguousarray(surprise.grid).tobytes()),
        alarm=alarm,
        reaction=reaction,
    )


def scene_message(
    answer: Answer,
    *,
    stamp: int,
    views: list[str],
    question: str,
    checks: Mapping[str, float] = types.MappingProxyType({}),
) -> msg.Scene:
    """The reasoner's answer about the images of `stamp`.

    checks: yes-or-no questions about them, and the probability of yes for each.
    """
    boxes = [
        msg.Box(
            label=b.label,
            x_min=float(b.x_min),
            y_min=float(b.y_min),
            x_max=float(b.x_max),
            y_max=float(b.y_max),
        )
        for b in answer.boxes
    ]
    return msg.Scene(
        header=header(stamp),
        views=views,
        question=question,
        text=answer.text,
        thought=answer.thought,
        boxes=boxes,
        yes=answer.yes,
        checks=list(checks),
        checks_yes=list(checks.values()),
        tokens=answer.tokens,
        seconds=float(sum(answer.seconds.values())),
    )


def trajectory_message(
    waypoints: Waypoints, joints: tuple[str, ...], stamped: bool
) -> JointTrajectory:
    """Points with velocities for a joint trajectory controller.

    stamped: due by the clock; else the stamp is 0, and they are due that long after they arrive.
    """
    trajectory = JointTrajectory(joint_names=list(joints))
    if stamped:
        trajectory.header = header(waypoints.start)
    for time, position, velocity in waypoints.rows():
        point = JointTrajectoryPoint(time_from_start=to_duration(time))
        point.positions, point.velocities = array.array("d", position), array.array("d", velocity)
        trajectory.points.append(point)
    return trajectory


def command_message(
    names: list[str], positions: list[float], velocities: list[float], stamp: int
) -> JointState:
    """The set points of `stamp` (ns), by joint name."""
    return JointState(header=header(stamp), name=names, position=positions, velocity=velocities)


def pose_message(pose: np.ndarray, stamp: int, frame: str) -> PoseStamped:
    """The pose of `stamp` (ns), a transform [4, 4] seen from `frame`."""
    message, numbers = PoseStamped(header=header(stamp, frame)), transform_to_pose(pose).tolist()
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w = numbers
    return message


def path_message(poses: np.ndarray, times: Sequence[int], frame: str) -> Path:
    """Poses [T, 4, 4] seen from `frame`, each with the time it is due at (ns)."""
    path = Path(header=header(times[0], frame))
    path.poses = [pose_message(pose, at, frame) for pose, at in zip(poses, times, strict=True)]
    return path


def twist_message(twist: np.ndarray, stamp: int, frame: str) -> TwistStamped:
    """The velocity of `stamp` (ns), m/s and rad/s along the axes of `frame`, [6]."""
    message, numbers = TwistStamped(header=header(stamp, frame)), twist.tolist()
    line, turn = message.twist.linear, message.twist.angular
    line.x, line.y, line.z, turn.x, turn.y, turn.z = numbers
    return message


def status_message(player: ChunkPlayer, armed: bool, now: int, reason: str) -> msg.CommanderStatus:
    """What the commander is doing at `now` (ns), and why nothing else."""
    status = msg.CommanderStatus(
        header=header(now),
        armed=armed,
        mode=player.mode,
        reason=reason,
        remaining=player.remaining(now),
        played=player.played,
        rejected=player.rejected,
        limited=player.limited,
        superseded=player.superseded,
        last_rejection=player.last_rejection,
        last_limit=player.last_limit,
    )
    if player.loaded:
        status.chunk, status.chunk_stamp = player.loaded.number, to_time(player.loaded.chunk.stamp)
        status.strategy = player.loaded.strategy.name
    return status
