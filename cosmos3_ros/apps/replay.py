# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 replay`: a recorded clip with a joint log through the nodes, at its own pace."""

from __future__ import annotations

import csv
import json
import pathlib
import sys
import time
from collections.abc import Iterator

import av
import numpy as np
import yaml
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import CompressedImage, JointState

from ..bringup.node_graph import Options, processes
from ..bringup.process_runner import RunningGraph
from ..model.embodiment import find_embodiment
from ..model.interface import NS
from ..robot.images import encode
from ..robot.robot_file import find_robot_file
from ..ros import topics
from ..ros.messages import command_message, header
from ..sim.arm_constants import HOME
from .demo import check, percentile, say, watching
from .film import Film, frame
from .topic_recorder import Recorder, wait_until

START = [*map(float, HOME), 0.0]  # DROID's start pose, gripper open


class Clip:
    """A video file, decoded frame by frame."""

    def __init__(self, path: str) -> None:
        if not pathlib.Path(path).is_file():
            raise ValueError(f"video {path!r} does not exist")
        try:
            self._container = av.open(path)
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(f"{path!r} is not a video that can be read: {error}") from error

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """(ns from the first frame, uint8 [H, W, 3]) of every frame."""
        first = None
        for picture in self._container.decode(self._stream):
            seconds = picture.time or 0.0
            first = seconds if first is None else first
            yield round((seconds - first) * NS), picture.to_ndarray(format="rgb24")


class JointLog:
    """Joint positions over time from a CSV with a column `time` [s] and one per joint."""

    def __init__(self, path: pathlib.Path, joints: list[str]) -> None:
        with path.open() as file:
            rows = list(csv.DictReader(file))
        columns = set(rows[0]) if rows else set()
        if missing := [name for name in ("time", *joints) if name not in columns]:
            raise ValueError(
                f"joint log {path}: lacks the columns {missing}; it has {sorted(columns)}"
            )
        try:
            table = np.array([[float(row[name]) for name in ("time", *joints)] for row in rows])
        except (TypeError, ValueError) as error:
            raise ValueError(f"joint log {path}: expected numbers: {error}") from error
        if not np.isfinite(table).all() or not (np.diff(table[:, 0]) > 0).all():
            raise ValueError(f"joint log {path}: expected finite values and increasing times")
        self._times, self._positions = table[:, 0], table[:, 1:]

    def at(self, ns: int) -> list[float]:
        """Positions at this time from the first frame, linear between rows."""
        return [float(np.interp(ns / NS, self._times, column)) for column in self._positions.T]


def parse_videos(words: list[str], views: tuple[str, ...]) -> dict[str, Clip]:
    """VIEW=FILE words (or one bare FILE for a single view) as one clip per view.

    ValueError names what is missing.
    """
    if len(words) == 1 and "=" not in words[0] and len(views) == 1:
        return {views[0]: Clip(words[0])}
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if set(given) != set(views) or len(given) != len(words):
        raise ValueError(f"expected one VIEW=FILE for each of {list(views)}, got {words}")
    return {view: Clip(given[view]) for view in views}


def replay(
    options: Options,
    videos: list[str],
    joint_log: pathlib.Path | None,
    limit: int,
    out: pathlib.Path,
) -> int:
    """Publish the clip as cameras and joint states to policy and reasoner, film what they predict.

    The exit code.
    """
    if not options.instruction:
        raise ValueError("--instruction is empty: say what the robot is doing in the clip")
    robot = yaml.safe_load(find_robot_file(options.robot).read_text())["/**/policy"][
        "ros__parameters"
    ]
    clips = parse_videos(videos, find_embodiment(robot["embodiment"]).views)
    joints = robot["joints"]
    if joint_log is None:
        say("no joint log given: every frame is published with DROID's start pose")
    log = JointLog(joint_log, joints) if joint_log else None
    out.mkdir(parents=True, exist_ok=True)
    with (
        (out / "nodes.log").open("w") as output,
        Film(out / "replay.mp4", 15) as film,
        RunningGraph(processes(options), output) as graph,
        watching(options) as recorder,
    ):

        def is_alive() -> None:
            check(graph, out)

        def others() -> bool:  # the policy, beside this process
            return recorder.count_subscribers("joint_states") > 1

        wait_until(others, 180, "the policy's start", is_alive)
        player = ClipPlayer(recorder, list(clips), joints, options.instruction)
        for k, pictures in enumerate(
            zip(*(clip.frames() for clip in clips.values()), strict=False)
        ):
            if limit and k >= limit:
                break
            is_alive()
            moment = pictures[0][0]
            player.publish(
                moment, [image for _, image in pictures], log.at(moment) if log else START
            )
            film.add(frame(recorder.images, recorder.predicted(player.stamps[-1]), player.lines()))
        wait_until(lambda: bool(recorder.latencies), 60, "a chunk", is_alive)
    return report(recorder, player, out)


class ClipPlayer:
    """Publishes frames at the pace of the clip and remembers their stamps."""

    def __init__(
        self, recorder: Recorder, views: list[str], joints: list[str], instruction: str
    ) -> None:
        self._recorder, self._views, self._joints, self._instruction = (
            recorder,
            views,
            joints,
            instruction,
        )
        self._cameras = {
            view: recorder.create_publisher(
                CompressedImage, _name(view), qos_profile_system_default
            )
            for view in views
        }
        self._states = recorder.create_publisher(
            JointState, topics.JOINT_STATES.name, qos_profile_system_default
        )
        self._begin = 0
        self.stamps: list[int] = []

    def publish(self, time_in_clip: int, images: list[np.ndarray], positions: list[float]) -> None:
        """Wait until it is this frame's time, then publish it on all topics with one stamp."""
        now = self._recorder.get_clock().now().nanoseconds
        if not self.stamps:
            self._begin = now - time_in_clip
        time.sleep(max(0.0, (self._begin + time_in_clip - now) / NS))
        stamp = self._begin + time_in_clip
        self.stamps.append(stamp)
        self._states.publish(command_message(self._joints, positions, [], stamp))
        for view, image in zip(self._views, images, strict=True):
            message = encode(image)
            message.header = header(stamp, view)
            self._cameras[view].publish(message)

    def lines(self) -> list[str]:
        """Two lines for the film."""
        latencies = self._recorder.latencies
        latest = f"latency {latencies[-1]['total'] * 1e3:.0f} ms" if latencies else "no chunk yet"
        return [self._instruction, f"frame {len(self.stamps)}, chunk {len(latencies)}, {latest}"]


def _name(view: str) -> str:
    return topics.camera(view, "compressed").name


def report(recorder: Recorder, player: ClipPlayer, out: pathlib.Path) -> int:
    """Print and write what came of it; exit code 1 if a chunk answers a stamp that no frame had."""
    known = set(player.stamps)
    strangers = [stamp for stamp in recorder.chunk_stamps if stamp not in known]
    latencies = [latency["total"] for latency in recorder.latencies]
    summary = {
        "frames": len(player.stamps),
        "chunks": len(recorder.chunk_stamps),
        "chunks_without_a_frame": len(strangers),
        "chunk_latency_p50": percentile(latencies, 0.5),
        "chunk_latency_p95": percentile(latencies, 0.95),
        "chunk_stamps_in_clip": [
            (stamp - player.stamps[0]) / NS for stamp in recorder.chunk_stamps
        ],
        "scene": recorder.scene.text if recorder.scene else None,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    say(
        f"{summary['frames']} frames, {summary['chunks']} chunks, "
        f"latency p50 {percentile(latencies, 0.5) * 1e3:.0f} ms, p95 "
        f"{percentile(latencies, 0.95) * 1e3:.0f} ms"
    )
    say(f"wrote {out}/replay.mp4, summary.json, nodes.log")
    if strangers:
        print(f"error: {len(strangers)} chunks answer stamps that no frame had", file=sys.stderr)
    return bool(strangers)
