# SPDX-License-Identifier: Apache-2.0
"""What a robot's topics show in some seconds: joints and their ranges, cameras, rates."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState

from ..model.embodiment.draft import Seen
from ..robot.images import to_rgb

KINDS = {
    "sensor_msgs/msg/JointState": JointState,
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CompressedImage": CompressedImage,
}
ENDS = ("/compressed", "/image_raw", "/image_rect", "/image", "/color", "/rgb")  # of no view's name


@dataclasses.dataclass(slots=True)
class _Stream:
    """One topic: how many messages, over what time, and the newest of a camera."""

    count: int = 0
    first: float = 0.0
    last: float = 0.0
    picture: Any = None

    def add(self, now: float) -> None:
        self.first = self.first if self.count else now
        self.last, self.count = now, self.count + 1

    @property
    def rate(self) -> float:
        """Messages a second; 0.0: not known."""
        return (self.count - 1) / (self.last - self.first) if self.last > self.first else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Survey:
    """What was heard."""

    joints: list[Seen]
    cameras: dict[str, tuple[int, int]]  # view -> height, width
    topics: dict[str, str]  # view -> topic
    rates: dict[str, float]  # topic -> messages a second

    @property
    def rate(self) -> float:
        """Of the slowest camera, which rows cannot be faster than; at most 30, whole Hz."""
        slowest = min(self.rates[topic] for topic in self.topics.values())
        return float(max(1, min(30, round(slowest))))

    def lines(self) -> list[str]:
        """For people: every joint and topic, and the remappings for the robot file."""
        joints = [
            f"joint {each.name}: {each.low:.4f} to {each.high:.4f}{_still(each)}"
            for each in self.joints
        ]
        cameras = [
            f"camera/{view}/image_raw: {topic.removesuffix('/compressed')}    # "
            f"{self.cameras[view][1]}x{self.cameras[view][0]} at {self.rates[topic]:.1f} Hz"
            for view, topic in self.topics.items()
        ]
        others = [
            f"{topic}: {rate:.1f} Hz"
            for topic, rate in self.rates.items()
            if topic not in self.topics.values()
        ]
        return [*joints, *others, "remappings of the robot file:", *(f"  {c}" for c in cameras)]


def survey(seconds: float) -> Survey:
    """Listen to all joint states and cameras; ValueError if there are none of a kind."""
    context = rclpy.Context()
    rclpy.init(context=context)
    listener = _Listener(context)
    try:
        return listener.listen(seconds)
    finally:
        listener.destroy_node()
        rclpy.try_shutdown(context=context)


class _Listener(Node):
    """Subscribes to whatever is published of `KINDS`."""

    def __init__(self, context: Any) -> None:
        super().__init__("cosmos3_survey", context=context)
        self._streams: dict[str, _Stream] = {}
        self._low: dict[str, float] = {}
        self._high: dict[str, float] = {}

    def listen(self, seconds: float) -> Survey:
        executor = SingleThreadedExecutor(context=self.context)
        executor.add_node(self)
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            self._subscribe()
            executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        return self._survey(seconds)

    def _subscribe(self) -> None:
        for topic, kinds in self.get_topic_names_and_types():
            kind = KINDS.get(kinds[0])
            if kind is not None and topic not in self._streams:
                self._streams[topic] = _Stream()
                self.create_subscription(
                    kind,
                    topic,
                    functools.partial(self._take, topic),
                    qos_profile_sensor_data,
                )

    def _take(self, topic: str, message: Any) -> None:
        stream = self._streams[topic]
        stream.add(time.monotonic())
        if not isinstance(message, JointState):
            stream.picture = message
            return
        for joint, position in zip(message.name, message.position, strict=False):
            if np.isfinite(position):
                self._low[joint] = min(position, self._low.get(joint, position))
                self._high[joint] = max(position, self._high.get(joint, position))

    def _survey(self, seconds: float) -> Survey:
        heard = {topic: stream for topic, stream in self._streams.items() if stream.count > 1}
        joints = [Seen(joint, self._low[joint], self._high[joint]) for joint in self._low]
        topics: dict[str, str] = {}
        for topic in sorted(heard, key=lambda topic: ("wrist" not in topic, len(topic), topic)):
            view = _view(topic)
            if heard[topic].picture is not None and view not in topics:  # raw before compressed
                topics[view] = topic
        if not joints or not topics:
            raise ValueError(
                f"heard {len(joints)} joints and {len(topics)} cameras in {seconds:g} s, expected "
                f"some of both; the topics are {sorted(self._streams) or 'none'}"
            )
        cameras = {}
        for view, topic in topics.items():
            height, width, _ = to_rgb(heard[topic].picture).shape
            cameras[view] = (height, width)
        return Survey(joints, cameras, topics, {topic: s.rate for topic, s in heard.items()})


def _still(seen: Seen) -> str:
    """What to say of a joint that did not move, whose unit and ends nobody can guess."""
    return ", does not move" if seen.high - seen.low < 1e-3 * max(1.0, abs(seen.high)) else ""


def _view(topic: str) -> str:
    """A name for the view of a camera's topic: its last word that says something."""
    name = topic
    while end := next((end for end in ENDS if name.endswith(end)), ""):
        name = name.removesuffix(end)
    words = [word for word in name.strip("/").split("/") if word != "camera"]
    view = (words or ["camera"])[-1]
    return view.removesuffix("_camera") or "camera"
