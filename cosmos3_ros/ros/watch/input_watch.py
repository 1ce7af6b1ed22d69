# SPDX-License-Identifier: Apache-2.0
"""Whether the inputs of a node come: the publishers of its topics, their messages, and /clock.

Judged on the steady clock: a node that waits for /clock must still be able to say so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

from ...model.interface import NS
from ..diagnostics import Faults
from ..topics import Topic
from .graph_endpoints import node_label, unheard

PATIENCE = 5 * NS  # without a publisher, or without a message of one
CLOCK_PATIENCE = 3 * NS  # without any /clock
PAUSE = 10 * NS  # a simulation may be paused for so long, without a word
CURE = (
    "large messages lose pieces on the way: larger socket buffers (sudo sysctl -w "
    "net.core.rmem_max=33554432, then start again), image_reliability: reliable, or "
    "image_transport: compressed"
)


def clock_fault(simulated: bool, now: int, still: int, publishers: Sequence[str]) -> str:
    """Why the node's clock does not go; now: its time, still: for how long it was that (ns).

    publishers: of /clock.
    """
    if not simulated or still < (PAUSE if now else CLOCK_PATIENCE):
        return ""
    if now == 0 and publishers:
        return f"{', '.join(publishers)} publishes /clock, but none has come: still starting?"
    if now == 0:
        return "use_sim_time is true but no /clock comes: start the simulation, or set it to false"
    return f"use_sim_time is true and /clock stands still at {now / NS:.3f} s"


@dataclasses.dataclass(slots=True)
class Input:
    """What came on one topic; times on the steady clock, ns."""

    topic: Topic
    name: str  # in full
    began: int
    received: int = 0
    lost: int = 0  # as the middleware counts them
    heard: int = 0  # when the last message came
    matched: int = 0  # since when somebody has published it; 0: nobody does
    window: tuple[int, int, int] = (0, 0, 0)  # time, received and lost at its beginning

    def silence(self, now: int, publishers: list[str]) -> str:
        """Why nothing comes although it ought to; empty if it does."""
        self.matched = (self.matched or now) if publishers else 0
        if not self.topic.continuous:
            return ""
        if not publishers:
            waited = now - max(self.began, self.heard)
            return "nobody publishes it" if waited >= PATIENCE else ""
        who = ", ".join(publishers)
        if not self.received and now - self.matched >= PATIENCE:
            return f"{who} publishes it, but no complete message has arrived; {CURE}"
        return ""

    def losses(self, now: int) -> str | None:
        """What was lost in the last seconds, if it was much; None: nothing new to say."""
        began, received, lost = self.window
        if now - began < PATIENCE:
            return None
        self.window = now, self.received, self.lost
        lost, received = self.lost - lost, self.received - received
        if not began or lost < max(5, received):
            return ""
        return f"{lost} of {lost + received} messages were lost on the way; {CURE}"


class InputWatch:
    """The inputs of one node; `check` looks at one of them, the next one each time."""

    def __init__(self, node: Node, steady: Callable[[], int]) -> None:
        self._node, self._steady = node, steady
        self._inputs: dict[str, Input] = {}
        self._turn = 0
        self._clock = (-1, 0)  # the node's time, and since when it has been that
        self.faults = Faults(node.get_logger())

    def add(self, topic: Topic) -> Input:
        """A topic that the node subscribes to from now on."""
        name = self._node.resolve_topic_name(topic.name)
        self._inputs[name] = Input(topic, name, self._steady())
        return self._inputs[name]

    def remove(self, name: str) -> None:
        """A topic, by its full name, that the node does not subscribe to any more."""
        self._inputs.pop(name, None)
        self.faults.now.pop(f"input {name}", None)

    def counted(
        self, watched: Input, callback: Callable[[Any], None]
    ) -> tuple[Callable[[Any], None], SubscriptionEventCallbacks]:
        """What to subscribe with so that messages, and those that were lost, are counted."""

        def count(message: Any) -> None:
            watched.received += 1
            watched.heard = self._steady()
            callback(message)

        def count_lost(event: Any) -> None:
            watched.lost = event.total_count

        return count, SubscriptionEventCallbacks(message_lost=count_lost)

    def check_clock(self, simulated: bool, now: int) -> str:
        """Note the node's time (ns); why it does not go on."""
        steady = self._steady()
        if now != self._clock[0]:
            self._clock = now, steady
        found = [] if now else self._node.get_publishers_info_by_topic("/clock")
        who = [node_label(one) for one in found]
        why = clock_fault(simulated, now, steady - self._clock[1], who)
        self.faults.set("clock", why)
        return why

    def check(self) -> None:
        """Look at the next input."""
        if not self._inputs:
            return
        self._turn = (self._turn + 1) % len(self._inputs)
        watched = list(self._inputs.values())[self._turn]
        publishers = self._node.get_publishers_info_by_topic(watched.name)
        deaf = unheard(publishers, watched.topic.type, [watched.topic.qos])
        now = self._steady()
        silent = ""
        if self._clock[0] == 0:  # a simulation that has not begun, as `check_clock` says
            watched.began, watched.matched = now, 0
        else:
            silent = watched.silence(now, [node_label(endpoint) for endpoint in publishers])
        self.faults.set(f"input {watched.name}", "; ".join(deaf) or silent)
        if watched.topic.continuous and (lost := watched.losses(now)) is not None:
            self.faults.set(f"losses of {watched.name}", lost)
