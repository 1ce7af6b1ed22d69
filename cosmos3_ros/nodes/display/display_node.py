# SPDX-License-Identifier: Apache-2.0
"""The display node: chunk and future in messages that every viewer draws. It moves nothing.

A process of its own, off the way from pictures to motion: where the tool of the newest chunk goes
(nav_msgs/Path), where its joints end (JointState, for a second robot model), and the predicted
frame that is due now (CompressedImage). What nobody listens to is not computed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage

from ...model.interface import ActionChunk
from ...msg import ActionChunk as ChunkMessage
from ...msg import Future
from ...robot.kinematics.tool_frame import ToolFrame
from ...robot.urdf import movable_joints, read_description
from ...ros import topics
from ...ros.diagnostics import Faults
from ...ros.lifecycle import ManagedNode
from ...ros.messages import chunk_from, command_message, path_message, to_ns
from ...ros.node_runner import run
from ...ros.worker_thread import LAST
from ..known_parameters import KNOWN, checker
from ..robot_description import receive_description
from .display_params import Params

LOOK = 0.02  # s between two looks at which frame is due
LISTEN = 0.25  # s between two looks at whether somebody wants frames


def due_frame(message: Future, now: int) -> CompressedImage | None:
    """The frame of a future that is due now (ns); None before its first and after its last one."""
    passed, step = now - to_ns(message.header.stamp), to_ns(message.step)
    if step <= 0 or not 0 <= passed < step * len(message.frames):
        return None
    return message.frames[passed // step]


class DisplayNode(ManagedNode[Params]):
    """See the module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("display", Params, KNOWN, **kwargs)
        self._listening: Any = None  # to futures

    def setup(self) -> None:
        p = self.params
        self._faults = Faults(self.get_logger())
        self._tool: ToolFrame | None = None  # for the joints of the newest chunk
        self._movable: list[str] = []
        self._description: str | bytes = ""
        if p.tool_frame:
            self._describe()
        else:
            self.get_logger().info("no cosmos3/path: parameter 'tool_frame' is empty")
        self._future: Future | None = None
        self._shown: CompressedImage | None = None
        self._path = self.advertise(topics.PATH)
        self._end = self.advertise(topics.CHUNK_END)
        self._frame = self.advertise(topics.FUTURE_FRAME)
        self.subscribe(topics.ACTION_CHUNK, self._on_chunk)
        self.every(LOOK, self._show_frame)
        self.every(LISTEN, self._listen, steady=True)
        self.get_logger().info("display ready")

    def stop(self) -> None:
        self._hear_futures(False)

    def teardown(self) -> None:
        self._hear_futures(False)

    def _describe(self) -> None:
        """Read the robot description; ValueError if the tool is not in it."""
        p = self.params
        self._description = receive_description(self, p.urdf) or read_description(p.urdf)
        self._movable = movable_joints(self._description, p.urdf)
        ToolFrame(p.tool(p.urdf), self._movable, self._text)

    @property
    def _text(self) -> str:
        text = self._description
        return text if isinstance(text, str) else text.decode()

    # -- chunks

    def _on_chunk(self, message: ChunkMessage) -> None:
        try:
            chunk = chunk_from(message)
        except ValueError as error:
            self._faults.set("chunk ignored", str(error))
            return
        self._faults.set("chunk ignored", "")
        last = chunk.values[-1].tolist()
        self._end.publish(command_message(list(chunk.names), last, [], self.now()))
        if self.params.tool_frame and self._path.get_subscription_count():
            self._draw(chunk)

    def _draw(self, chunk: ActionChunk) -> None:
        try:
            tool = self._tool_of(chunk)
        except ValueError as error:
            self._faults.set("path", str(error))
            return
        self._faults.set("path", "")
        columns = [chunk.names.index(joint) for joint in tool.joints]
        poses = tool.poses(chunk.values[:, columns].astype(np.float64))
        self._path.publish(path_message(poses, chunk.times().tolist(), tool.base))

    def _tool_of(self, chunk: ActionChunk) -> ToolFrame:
        """The tool for the joints that a chunk has; ValueError if another one moves it."""
        p = self.params
        joints = [joint for joint in chunk.names if joint in (p.joints or self._movable)]
        if self._tool is None or list(self._tool.joints) != joints:
            self._tool = None
            scale = [p.scale(joint) for joint in joints]
            self._tool = ToolFrame(p.tool(p.urdf), joints, self._text, scale)
        return self._tool

    # -- futures

    def _listen(self) -> None:
        """Subscribe to futures only while their frames are wanted: else nobody decodes them."""
        self._hear_futures(bool(self._frame.get_subscription_count()))

    def _hear_futures(self, wanted: bool) -> None:
        if wanted and self._listening is None:
            topic = topics.FUTURE
            self._listening = self.create_subscription(
                topic.type, topic.name, self._on_future, topic.qos
            )
        elif not wanted and self._listening is not None:
            self.destroy_subscription(self._listening)
            self._listening = self._future = None

    def _on_future(self, message: Future) -> None:
        self._future = message

    def _show_frame(self) -> None:
        frame = due_frame(self._future, self.now()) if self._future else None
        if frame is not None and frame is not self._shown:
            self._frame.publish(frame)
            self._shown = frame


def main(args: list[str] | None = None) -> int:
    """Entry point of the executable `display`."""
    os.nice(LAST)  # what is only looked at gives way to what moves the robot
    return run([DisplayNode], args, checker("display"))


if __name__ == "__main__":
    sys.exit(main())
