# SPDX-License-Identifier: Apache-2.0
"""A node that watches a running graph for a person: cameras, chunks, futures, joints.

And calls its services.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rclpy.client import Client
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String

from ..execution.strategies import DEFAULT, STRATEGIES
from ..model.interface import NS
from ..msg import ActionChunk, CommanderStatus, Future, Scene, TaskStatus
from ..robot.images import decode
from ..ros import topics
from ..ros.messages import to_ns

STILL, MOVED = 0.25, 2e-3  # s; rad or m: an arm that moved less in that time stands
MOST = 1000  # rows in which that is looked for


class Recorder(Node):
    """Keeps the newest messages, and the history of joints, chunks, latencies since `begin`.

    Spun by a thread of its own; the lists are only appended to there. remappings: pairs of a name
    in this package and the name on the robot.
    """

    def __init__(
        self,
        views: Sequence[str],
        joints: Sequence[str],
        futures: bool = True,
        remappings: Sequence[tuple[str, str]] = (),
    ) -> None:
        rules = [word for name, target in remappings for word in ("-r", f"{name}:={target}")]
        super().__init__("recorder", cli_args=["--ros-args", *rules] if rules else None)
        self.joints = list(joints)
        self.images: dict[str, np.ndarray] = {}
        self.future: Future | None = None
        self.status: TaskStatus | None = None
        self.commander: CommanderStatus | None = None
        self.scene: Scene | None = None
        self.on_image: Callable[[int], None] = lambda stamp: (
            None
        )  # called with the stamp of each image of the first view
        self.begin()
        for view in views:
            topic = topics.camera(view, "compressed")
            self.create_subscription(
                topic.type, topic.name, self._on_image(view, view == views[0]), topic.qos
            )
        self._listen(topics.JOINT_STATES, self._on_measured)
        self._listen(topics.COMMAND, self._on_command)
        self._listen(topics.ACTION_CHUNK, self._on_chunk)
        self._listen(topics.COMMANDER_STATUS, lambda message: setattr(self, "commander", message))
        self._listen(topics.SCENE, lambda message: setattr(self, "scene", message))
        self._listen(topics.SIM_STATUS, self._on_status)
        if futures:
            self._listen(topics.FUTURE, self._on_future)
        self._instruction = self.create_publisher(
            String, topics.INSTRUCTION.name, topics.INSTRUCTION.qos
        )

    def begin(self) -> None:
        """Forget the history: a new episode."""
        self.started = self.get_clock().now().nanoseconds
        self.future = None
        self.measured: list[list[float]] = []
        self.commanded: list[list[float]] = []
        self.chunk_times: list[float] = []
        self.chunk_stamps: list[int] = []
        self.latencies: list[dict[str, float]] = []
        self.late = 0  # chunks that were over when they came
        self.chunk_seconds = 0.0  # that the newest one lasts
        self.waits = False  # the arm is at rest until it comes
        self.factors: list[float] = []

    def instruct(self, instruction: str) -> None:
        """Publish the instruction."""
        self._instruction.publish(String(data=instruction))

    def call(self, kind: Any, name: str, timeout: float = 10.0, **fields: Any) -> Any:
        """Call a service from another thread than the one that spins.

        TimeoutError (an OSError) if nobody answers.
        """
        client: Client = self.create_client(kind, name)
        try:
            if not client.wait_for_service(timeout):
                raise TimeoutError(f"service {name} did not appear within {timeout:.0f} s")
            done = threading.Event()
            future = client.call_async(kind.Request(**fields))
            future.add_done_callback(lambda _: done.set())
            if not done.wait(timeout):
                raise TimeoutError(f"service {name} did not answer within {timeout:.0f} s")
            return future.result()
        finally:
            self.destroy_client(client)

    @property
    def newest(self) -> float:
        """When the joints were measured last, s, by their own clock since `begin`; -inf: never."""
        return self.measured[-1][0] if self.measured else -math.inf

    def stands(self, since: float) -> bool:
        """Whether the joints have been measured at one place for a while after `since`.

        since: a `newest` of before, s. What was measured until then says nothing about what the arm
        has been told after it.
        """
        rows = np.array(self.measured[-MOST:])
        if not len(rows) or rows[-1, 0] - STILL <= max(since, rows[0, 0]):  # not known for so long
            return False
        lately = rows[rows[:, 0] > rows[-1, 0] - STILL]
        return bool((np.nan_to_num(np.ptp(lately[:, 1:], axis=0)) < MOVED).all())

    def predicted(self, stamp: int) -> tuple[np.ndarray, float] | None:
        """The frame of the newest future nearest to `stamp`, and its time after `stamp` (s)."""
        if self.future is None:
            return None
        begin, step = to_ns(self.future.header.stamp), to_ns(self.future.step)
        k = min(max(round((stamp - begin) / step), 0), len(self.future.frames) - 1)
        return decode(self.future.frames[k]), (begin + k * step - stamp) / NS

    def _listen(self, topic: topics.Topic, callback: Callable[[Any], None]) -> None:
        self.create_subscription(topic.type, topic.name, callback, topic.qos)

    def _on_future(self, message: Future) -> None:
        # else of the last episode: it takes a moment to be drawn
        if to_ns(message.header.stamp) >= self.started:
            self.future = message

    def _on_image(self, view: str, first: bool) -> Callable[[CompressedImage], None]:
        def store(message: CompressedImage) -> None:
            self.images[view] = decode(message)
            if first:
                self.on_image(to_ns(message.header.stamp))

        return store

    def _seconds(self, stamp: int) -> float:
        return (stamp - self.started) / NS

    def _row(self, message: JointState) -> list[float]:
        known = dict(zip(message.name, message.position, strict=True))
        return [
            self._seconds(to_ns(message.header.stamp)),
            *(known.get(joint, float("nan")) for joint in self.joints),
        ]

    def _on_status(self, message: TaskStatus) -> None:
        self.status = message
        # the factor is that of the last second: before, the reset is part of it
        if message.elapsed > 1.0:
            self.factors.append(message.real_time_factor)

    def _on_measured(self, message: JointState) -> None:
        self.measured.append(self._row(message))

    def _on_command(self, message: JointState) -> None:
        self.commanded.append(self._row(message))

    def _on_chunk(self, message: ActionChunk) -> None:
        now, stamp = self.get_clock().now().nanoseconds, to_ns(message.header.stamp)
        self.chunk_stamps.append(stamp)
        self.chunk_times.append(self._seconds(now))
        stages = dict(zip(message.latency_stages, map(float, message.latency_seconds), strict=True))
        self.latencies.append({"total": (now - stamp) / NS, **stages})
        self.chunk_seconds = message.horizon * to_ns(message.step) / NS
        strategy = STRATEGIES.get(message.strategy or DEFAULT)
        self.waits = strategy is not None and strategy.pauses_between_chunks
        self.late += (now - stamp) / NS > self.chunk_seconds


def wait_until(
    condition: Callable[[], bool],
    timeout: float,
    what: str,
    alive: Callable[[], None] = lambda: None,
) -> None:
    """Return as soon as `condition` holds; `alive` may raise meanwhile.

    TimeoutError names what did not happen.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        alive()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(0.02)
