# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 replay`: a recorded clip with a joint log through the nodes, at its own pace."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import Image

from ..bringup.node_graph import Options, Process, parameter_of, processes
from ..bringup.process_runner import RunningGraph
from ..model.checkpoint_io.own_embodiment import relabel
from ..model.checkpoint_io.tiny import user_cache
from ..model.checkpoint_io.trained_tasks import EMBEDDED
from ..model.embodiment import SIMULATED
from ..model.interface import NS
from ..model.media.video import frames, open_video, upright
from ..robot.images import encode, fill
from ..robot.recorded_robot import RecordedRobot, read_robot
from ..ros import topics
from ..ros.messages import command_message, header
from ..sim.arm_constants import HOME
from .demo import check, watching_alone
from .domain_check import check_alone
from .episode_report import milliseconds, percentile, say
from .film import Film, Layout
from .topic_recorder import Recorder, wait_until


def start_pose(robot: RecordedRobot) -> list[float]:
    """DROID's start pose with the gripper open, for this robot's joints in their order.

    ValueError for an arm that is not DROID's.
    """
    if robot.embodiment.state != SIMULATED.state:
        raise ValueError(
            f"expected --joints FILE: {robot.embodiment.name} has no start pose that is known; a "
            f"CSV with the columns {['time', *robot.joints.joints]}"
        )
    return [*map(float, HOME), robot.joints.units[-1].opened]


class Clip:
    """A video file, decoded frame by frame."""

    def __init__(self, path: str) -> None:
        if not pathlib.Path(path).is_file():
            raise ValueError(f"video {path!r} does not exist")
        self._path = pathlib.Path(path)
        with open_video(self._path, f"video {path!r}"):
            pass  # what is no video is refused before anything starts

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """(ns from the first frame, uint8 [H, W, 3]) of every frame."""
        first = None
        for seconds, picture in frames(self._path, f"video {str(self._path)!r}"):
            first = seconds if first is None else first
            yield round((seconds - first) * NS), upright(picture)


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


def graph_for(options: Options, robot: RecordedRobot) -> list[Process]:
    """What to start; without a checkpoint the embedded one stands in for that of a like robot.

    Not where a policy server is asked. It keeps its own embodiment, if the robot has the same
    views, and else is told the robot's: nothing moves here. ValueError for another arm.
    """
    found = processes(options)
    if any(parameter_of(options, "policy", name) for name in ("checkpoint", "policy_url")):
        return found
    name = robot.embodiment.name
    if robot.embodiment.state != SIMULATED.state:
        raise ValueError(
            f"expected --checkpoint FOLDER: the embedded one does not know {name} "
            f"(`cosmos3 tiny FOLDER --embodiment {name}` writes one of random weights)"
        )
    if robot.embodiment == SIMULATED or not EMBEDDED.is_dir():
        return found
    say(f"no checkpoint given: the embedded one, of {SIMULATED.name}, stands in for one of {name}")
    own = {"embodiment": ""}
    if robot.embodiment.views != SIMULATED.views:
        folder = user_cache() / f"embedded-as-{name}"
        relabel(EMBEDDED, folder, robot.embodiment)
        own = {"checkpoint": str(folder)}
    return [
        dataclasses.replace(
            process,
            parameters={
                node: values | (own if node == "policy" else {})
                for node, values in process.parameters.items()
            },
        )
        for process in found
    ]


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
    instruction = parameter_of(options, "policy", "instruction")
    if not instruction:
        raise ValueError("--instruction is empty: say what the robot is doing in the clip")
    robot = read_robot(options.robot)
    clips = parse_videos(videos, robot.embodiment.views)
    joints = list(robot.joints.joints)
    log = JointLog(joint_log, joints) if joint_log else None
    start = [] if log else start_pose(robot)
    if log is None:
        say("no joint log given: every frame is published with DROID's start pose")
    nodes = graph_for(options, robot)
    layout = Layout(robot.embodiment.canvas)
    out.mkdir(parents=True, exist_ok=True)
    with (
        watching_alone(options, views=()) as recorder,
        (out / "nodes.log").open("w") as output,
        Film(out / "replay.mp4", 15, layout.size) as film,
        RunningGraph(nodes, output) as graph,
    ):

        def is_alive() -> None:
            check(graph, out)

        player = ClipPlayer(recorder, list(clips), joints, instruction)
        wait_until(player.is_heard, 180, "the policy's start", is_alive)
        check_alone(recorder)
        for k, pictures in enumerate(
            zip(*(clip.frames() for clip in clips.values()), strict=False)
        ):
            if limit and k >= limit:
                break
            is_alive()
            moment = pictures[0][0]
            images = {view: image for view, (_, image) in zip(clips, pictures, strict=True)}
            player.publish(moment, images, log.at(moment) if log else start)
            future = recorder.predicted(player.stamps[-1])
            film.add(layout.picture(images, future, player.words()))
        wait_until(lambda: bool(recorder.latencies), 60, "a chunk", is_alive)
    return report(recorder, player, out)


class ClipPlayer:
    """Publishes frames at the pace of the clip and remembers their stamps.

    Each view goes out in the transports that somebody subscribes to, under the names that the
    recorder's remappings give it.
    """

    def __init__(
        self, recorder: Recorder, views: Sequence[str], joints: Sequence[str], instruction: str
    ) -> None:
        self._recorder, self._joints, self._instruction = recorder, list(joints), instruction
        self._raw = {view: self._advertise(topics.camera(view, "raw")) for view in views}
        self._compressed = {
            view: self._advertise(topics.camera(view, "compressed")) for view in views
        }
        self._states = self._advertise(topics.JOINT_STATES)
        self._begin = 0
        self.stamps: list[int] = []

    def _advertise(self, topic: topics.Topic) -> Any:
        return self._recorder.create_publisher(topic.type, topic.name, qos_profile_system_default)

    def is_heard(self) -> bool:
        """Whether somebody beside the recorder subscribes to every view and to the joint states."""
        return self._states.get_subscription_count() > 1 and all(
            self._raw[view].get_subscription_count() + publisher.get_subscription_count()
            for view, publisher in self._compressed.items()
        )

    def publish(
        self, time_in_clip: int, images: Mapping[str, np.ndarray], positions: list[float]
    ) -> None:
        """Wait until it is this frame's time, then publish it on all topics with one stamp."""
        now = self._recorder.get_clock().now().nanoseconds
        if not self.stamps:
            self._begin = now - time_in_clip
        time.sleep(max(0.0, (self._begin + time_in_clip - now) / NS))
        stamp = self._begin + time_in_clip
        self.stamps.append(stamp)
        self._states.publish(command_message(self._joints, positions, [], stamp))
        for view, image in images.items():
            head = header(stamp, view)
            if self._raw[view].get_subscription_count():
                self._raw[view].publish(fill(Image(header=head), image, "rgb8"))
            if self._compressed[view].get_subscription_count():
                message = encode(image)
                message.header = head
                self._compressed[view].publish(message)

    def words(self) -> list[tuple[str, str]]:
        """What stands beside the pictures of the film."""
        latencies, scene = self._recorder.latencies, self._recorder.scene
        latest = f"latency {latencies[-1]['total'] * 1e3:.0f} ms" if latencies else "no chunk yet"
        numbers = f"frame {len(self.stamps)}, chunk {len(latencies)}, {latest}"
        found = [("task", self._instruction), ("policy", numbers)]
        return [*found, ("reasoner", scene.text)] if scene else found


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
        f"latency p50 {milliseconds(percentile(latencies, 0.5))} ms, p95 "
        f"{milliseconds(percentile(latencies, 0.95))} ms"
    )
    say(f"wrote {out}/replay.mp4, summary.json, nodes.log")
    if strangers:
        print(f"error: {len(strangers)} chunks answer stamps that no frame had", file=sys.stderr)
    return bool(strangers)
