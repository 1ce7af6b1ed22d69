# SPDX-License-Identifier: Apache-2.0
"""The graph around the commander: what must not be so for it to be armed, or to move the arm.

Judged on the steady clock, one topic at a time, because a look at the graph takes half a
millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rclpy.node import Node
from std_msgs.msg import Bool

from ...execution.progress import Progress
from ...model.interface import NS
from .. import topics
from ..diagnostics import Faults
from ..sinks.gripper_outputs import GripperOutput
from .graph_endpoints import (
    is_latched,
    nobody_takes,
    node_label,
    other_publishers,
    unheard,
)
from .stop_signals import StopSignals

SETTLE = NS // 2  # for publishers to be found, and for what a publisher said before to arrive
NO_POINTS = NS  # armed, and no set point for so long
NO_CHUNKS = 10 * NS  # armed, and no chunk for so long


class Sink(Protocol):
    """A controller behind a topic."""

    @property
    def topic(self) -> topics.Topic:
        """What it listens to."""

    @property
    def output(self) -> Any:
        """The publisher to it."""

    @property
    def gripper(self) -> GripperOutput | None:
        """The way to its gripper's controller, None without one."""


class CommanderWatch:
    """What the graph says about the commander's inputs and outputs.

    Faults are texts, empty if there is none. publisher_fault: of chunks, the arm is held;
    listener_fault and rival_fault: of a controller, an armed robot is held; deaf: publishers of
    safety inputs that cannot be heard, it is not armed.
    """

    def __init__(self, node: Node, sinks: Sequence[Sink], now: int) -> None:
        self._node, self._sinks = node, sinks
        self._began = now
        self._found: dict[bytes, int] = {}  # latched publishers of the stop topic: since when
        self._deaf: dict[str, str] = {}
        self._counts: tuple[int, ...] = ()
        self._turn = 0
        self._recalled: Any = ()  # a subscription and what came by it
        self._points, self._chunks = Progress(), Progress()
        self.publisher_fault = self.listener_fault = self.rival_fault = self.gripper_fault = ""
        self._latching = ""  # the newest latched publisher of the stop topic
        self.faults = Faults(node.get_logger())
        self._stop = node.resolve_topic_name(topics.STOP.name)
        self._chunk = node.resolve_topic_name(topics.ACTION_CHUNK.name)
        self._looks = (
            self._look_at_stop,
            self._look_at_chunks,
            self._look_at_states,
            self._look_at_controller,
            self._look_at_gripper,
            self._look_at_rivals,
        )

    def hear_stop(self, signals: StopSignals, stop: bool, info: dict[str, Any]) -> None:
        """Note one message of the stop topic; info: what rclpy says about it."""
        sent, number = info["source_timestamp"], info.get("publication_sequence_number")
        if signals.has_heard(sent, number):
            return
        publishers = self._node.get_publishers_info_by_topic(self._stop)
        signals.hear(stop, sent, number, [bytes(p.endpoint_gid) for p in publishers])
        if self._recalled:
            self._recall_ended()  # what is said meanwhile counts more
        if signals.is_uncertain and all(map(is_latched, publishers)):
            self._recall()

    def _recall(self) -> None:
        """Ask latched publishers of the stop topic what they said last: a new subscription does."""
        heard: dict[tuple[int, int], bool] = {}

        def hear(message: Bool, info: dict[str, Any]) -> None:
            heard[info["source_timestamp"], info["publication_sequence_number"]] = message.data

        topic, latched = topics.STOP, topics.STOP_QOS[-1]
        asked = self._node.create_subscription(topic.type, topic.name, hear, latched)  # type: ignore[arg-type]
        self._recalled = (asked, heard)

    def _recall_ended(self) -> dict[int, list[bool]]:
        """What the latched publishers said last, by number, as far as they have answered."""
        asked, heard = self._recalled
        self._recalled = ()
        self._node.destroy_subscription(asked)
        said: dict[int, list[bool]] = {}
        for (_, number), stop in heard.items():
            said.setdefault(number, []).append(stop)
        return said

    def recalled(self, signals: StopSignals) -> bool:
        """Whether all publishers of the stop topic have answered what they said last."""
        if not self._recalled or len(self._recalled[1]) < max(1, len(self._found)):
            return False
        signals.settle(self._recall_ended(), self._found)
        return True

    def close(self) -> None:
        """Let go of what it asked."""
        if self._recalled:
            self._recall_ended()

    def look(self, now: int) -> None:
        """Look at the next topic, at all if the number of somebody has changed."""
        node = self._node
        counts = (
            node.count_publishers(self._stop),
            node.count_publishers(self._chunk),
            *(sink.output.get_subscription_count() for sink in self._sinks),
        )
        if counts != self._counts:
            self._counts = counts
            for look in self._looks:
                look(now)
            return
        self._turn = (self._turn + 1) % len(self._looks)
        self._looks[self._turn](now)

    def arming_fault(self, now: int) -> str:
        """Why the arm must not be armed now, as far as the graph says."""
        if self._deaf:
            return "; ".join(f"{topic}: {why}" for topic, why in self._deaf.items())
        if self.publisher_fault or self.rival_fault:
            return self.publisher_fault or self.rival_fault
        found = max([self._began, *self._found.values()])
        if now - found >= SETTLE:
            return ""
        who = f"a stop that {self._latching} may have latched" if self._found else "publishers"
        return f"waiting for {who} on {self._stop}"

    @property
    def stop_fault(self) -> str:
        """Who publishes on the stop topic and cannot be heard, in words; empty: nobody."""
        why = self._deaf.get(self._stop, "")
        return f"{self._stop}: {why}" if why else ""

    def report(self, now: int, armed: bool, points: int | None, chunks: int) -> None:
        """Say what an armed commander waits for.

        points: set points until now, None if none are due; chunks: those that came.
        """
        still = self._points.stands(points or 0, now, armed and points is not None)
        late = still * NS >= NO_POINTS
        self.faults.set("set points", f"armed, but none for {still:.1f} s" if late else "")
        waited = self._chunks.stands(chunks, now, armed)
        who = f"{self._counts[1]} nodes publish" if self._counts and self._counts[1] else "nobody"
        words = f"armed, but none on {self._chunk} for {waited:.0f} s ({who})"
        self.faults.set("chunks", words if waited * NS >= NO_CHUNKS else "")
        self.faults.set("gripper", self.gripper_fault if armed else "")
        self.faults.set("controller", self.rival_fault)
        for topic in (self._stop, self._chunk):
            self.faults.set(f"cannot be armed, {topic}", self._deaf.get(topic, ""))

    def _hear(self, topic: str, publishers: Any, kind: Any, qos: Any) -> None:
        if why := "; ".join(unheard(publishers, kind, qos)):
            self._deaf[topic] = why
        else:
            self._deaf.pop(topic, None)

    def _look_at_stop(self, now: int) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._stop)
        self._hear(self._stop, publishers, topics.STOP.type, topics.STOP_QOS)
        latched = {bytes(p.endpoint_gid): node_label(p) for p in publishers if is_latched(p)}
        self._found = {gid: self._found.get(gid, now) for gid in latched}
        if self._found:
            self._latching = latched[max(self._found, key=lambda gid: self._found[gid])]

    def _look_at_chunks(self, now: int) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._chunk)
        self._hear(self._chunk, publishers, topics.ACTION_CHUNK.type, [topics.ACTION_CHUNK.qos])
        who = ", ".join(sorted(map(node_label, publishers)))
        several = f"{len(publishers)} nodes publish {self._chunk} ({who}), expected one"
        self.publisher_fault = several if len(publishers) > 1 else ""

    def _look_at_states(self, now: int) -> None:
        topic = self._node.resolve_topic_name(topics.JOINT_STATES.name)
        publishers = self._node.get_publishers_info_by_topic(topic)
        self._hear(topic, publishers, topics.JOINT_STATES.type, [topics.JOINT_STATES.qos])

    def _look_at_controller(self, now: int) -> None:
        faults = [
            nobody_takes(self._node, s.output.topic_name, s.topic.type, s.topic.qos)
            for s in self._sinks
        ]
        self.listener_fault = "; ".join(filter(None, faults))

    def _look_at_gripper(self, now: int) -> None:
        faults = [s.gripper.fault(self._node, now) for s in self._sinks if s.gripper]
        self.gripper_fault = "; ".join(filter(None, faults))

    def _look_at_rivals(self, now: int) -> None:
        faults = []
        for name in (sink.output.topic_name for sink in self._sinks):
            if others := other_publishers(self._node, name):
                faults.append(f"{', '.join(others)} commands {name}, too")
        self.rival_fault = "; ".join(faults)
