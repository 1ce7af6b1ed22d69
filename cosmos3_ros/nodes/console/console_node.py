# SPDX-License-Identifier: Apache-2.0
"""The console: shows a running graph in a browser, and does what is pressed there.

A process of its own, whose end ends nothing. It hears pictures, futures and joints only while
somebody looks, when a page asks, and passes JPEGs on as they came.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import secrets
import sys
import webbrowser
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image, JointState

from ...model.interface import NS
from ...msg import ActionChunk, Future, TaskStatus
from ...robot.images import encode, to_rgb
from ...ros import topics
from ...ros.lifecycle import ManagedNode
from ...ros.messages import to_ns
from ...ros.node_runner import run
from ...ros.worker_thread import LAST
from ...serve.asyncio_runner import in_background
from ...serve.auth import read_token
from ...serve.console.address import links
from ...serve.console.board import Board
from ...serve.console.server import ConsoleServer, RobotModel
from ..known_parameters import KNOWN, checker
from . import page_values
from .buttons import Buttons
from .console_params import Params
from .episode_log import EpisodeLog
from .polled import Polled
from .robot_model import read_model
from .shown_robot import read_shown
from .task_watch import TaskWatch

LOOK = 0.25  # s between two looks whether somebody looks
WARNING = DiagnosticStatus.WARN


class ConsoleNode(ManagedNode[Params]):
    """See the module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("console", Params, KNOWN, **kwargs)
        self._listening = contextlib.ExitStack()
        self._watched: dict[str, Polled] = {}  # while somebody looks

    @property
    def control(self) -> bool:
        """Whether the page may arm, instruct and reset."""
        return self.params.control

    def model(self) -> RobotModel | None:
        """The robot description, as soon as it is known."""
        return self._model

    def setup(self) -> None:
        p = self.params
        self._token = read_token(p.token_file) if p.token_file else secrets.token_urlsafe(24)
        self._shown = read_shown(p.robot, p.simulation)
        self.board = Board()
        self._model: RobotModel | None = None
        self._positions: dict[str, float] = {}
        self._has_policy: bool | None = None  # nobody has looked yet
        self._diagnoses: dict[str, list[str]] = {}
        self._episodes = EpisodeLog()
        self.board.put("robot", self._shown.value(p.control))
        self._hear()
        self._describe()
        self._buttons = Buttons(self, self.board)
        self.every(LOOK, self._look, steady=True)

    def start(self) -> None:
        p = self.params
        server = ConsoleServer(self, self._token, self.get_logger().error)
        port = self._listening.enter_context(
            in_background(lambda ready, ended: server.run(p.host, p.port, ready, ended))
        )
        link, near = links(p.host, port, self._token)
        # not by the logger, which publishes what it says to everybody
        print(f"console: open {link}", flush=True)
        if p.browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(near)

    def stop(self) -> None:
        self._listening.close()

    def teardown(self) -> None:
        self._unwatch()

    # -- what is heard

    def _hear(self) -> None:
        """What is small and rare, always: a page that opens shows the last of it at once."""
        board, values = self.board, page_values
        self.subscribe(
            topics.COMMANDER_STATUS, lambda m: board.put("status", values.status_value(m))
        )
        self.subscribe(topics.ACTION_CHUNK, self._on_chunk)
        self.subscribe(topics.SCENE, lambda m: board.put("scene", values.scene_value(m)))
        self.subscribe(topics.INSTRUCTION, lambda m: board.put("instruction", m.data))
        self.subscribe(topics.DIAGNOSTICS, self._on_diagnostics)
        self.subscribe(topics.SURPRISE, lambda m: board.put("surprise", values.surprise_value(m)))
        self.subscribe(topics.SIM_STATUS, self._on_simulation)
        TaskWatch(self, board)

    def _look(self) -> None:
        """Subscribe to what is large or frequent while somebody looks, and only then."""
        if not self.board.is_watched:
            self._unwatch()
            return
        self.board.put("now", self.now() / NS)
        has_policy = self._buttons.has_policy
        if has_policy != self._has_policy:
            self.board.put("policy", has_policy)
        self._has_policy = has_policy
        for topic, heard in (
            (topics.JOINT_STATES, self._on_joints),
            (topics.COMMAND, self._on_command),
            (topics.FUTURE, self._on_future),
        ):
            if topic.name not in self._watched:
                self._watch(topic.name, topic, heard)
        for view in self._shown.canvas.views:
            if view not in self._watched and (camera := self._camera(view)):
                self._watch(view, camera, self._picture_of(view))

    def _unwatch(self) -> None:
        while self._watched:
            self._watched.popitem()[1].close()

    def _watch(self, key: str, topic: topics.Topic, heard: Callable[[Any], None]) -> None:
        self._watched[key] = Polled(self, topic, heard)

    def look(self) -> None:
        """See serve.console.server.Robot."""
        for stream in list(self._watched.values()):
            stream.take()

    def _camera(self, view: str) -> topics.Topic | None:
        """The topic of a view that somebody publishes, JPEGs rather than pixels; None: neither."""
        for transport in ("compressed", "raw"):
            topic = topics.camera(view, transport)
            if self.count_publishers(self.resolve_topic_name(topic.name)):
                return topic
        return None

    def _picture_of(self, view: str) -> Callable[[Any], None]:
        def heard(message: Image | CompressedImage) -> None:
            stamp = to_ns(message.header.stamp) / NS
            try:
                if not isinstance(message, CompressedImage):
                    message = encode(to_rgb(message))
            except ValueError as error:
                self.get_logger().warning(f"{view}: {error}", throttle_duration_sec=10.0)
                return
            self.board.put(f"view {view}", {"stamp": stamp}, [bytes(message.data)])

        return heard

    def _on_joints(self, message: JointState) -> None:
        """Publishers may each have some of the joints."""
        self._positions.update(zip(message.name, message.position, strict=False))
        self._put_joints("joints", self._positions, message)

    def _on_command(self, message: JointState) -> None:
        commanded = dict(zip(message.name, message.position, strict=False))
        self._put_joints("command", commanded, message)

    def _put_joints(self, kind: str, positions: Mapping[str, float], message: JointState) -> None:
        stamp = to_ns(message.header.stamp)
        self.board.put(kind, page_values.joints_value(positions, stamp, self._shown.scales))

    def _on_chunk(self, message: ActionChunk) -> None:
        try:
            value = page_values.chunk_value(message, self._shown.scales)
        except ValueError as error:
            self.get_logger().warning(f"chunk: {error}", throttle_duration_sec=10.0)
            return
        value["seconds"] = self.now() / NS - value["stamp"]
        self.board.put("chunk", value)
        self._episodes.add_chunk()

    def _on_simulation(self, message: TaskStatus) -> None:
        status = page_values.fields(message, page_values.SIMULATION)
        begins = self._episodes.add_status(status)
        self.board.put("episode", self._episodes.running)
        if begins:
            self.board.put("episodes", self._episodes.over)
        self.board.put("simulation", status)

    def _on_future(self, message: Future) -> None:
        frames = [bytes(frame.data) for frame in message.frames]
        self.board.put("future", page_values.future_value(message), frames)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else status.level
            if level < WARNING[0]:
                self._diagnoses.pop(status.name, None)
            else:
                self._diagnoses[status.name] = [status.name, status.message]
        self.board.put("diagnostics", [*self._diagnoses.values()][:8])

    def _describe(self) -> None:
        """Read the robot description, or wait for it on its topic."""
        if self._shown.urdf is not None:
            self._set_model(self._shown.urdf.read_text())
            return
        described = topics.ROBOT_DESCRIPTION.named(self._shown.topic)
        self.subscribe(described, lambda message: self._set_model(message.data))

    def _set_model(self, urdf: str) -> None:
        try:
            folder = self._shown.urdf.parent if self._shown.urdf else None
            self._model = read_model(urdf, folder)
        except ValueError as error:
            self.get_logger().warning(str(error))
            return
        self.board.put("model", len(self._model.meshes))

    # -- what is pressed

    def act(
        self, name: str, fields: Mapping[str, Any]
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        """See serve.console.server.Robot."""
        return self._buttons.press(name, fields)


def main(args: list[str] | None = None) -> int:
    """Run the console until a signal comes."""
    os.nice(LAST)  # who looks on waits for the robot, never the robot for them
    return run([ConsoleNode], args, checker("console"))


if __name__ == "__main__":
    sys.exit(main())
