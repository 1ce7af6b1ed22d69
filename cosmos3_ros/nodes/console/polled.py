# SPDX-License-Identifier: Apache-2.0
"""Streams that are taken when somebody wants to know, and wake nobody when a message comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

from ...ros.topics import Topic


class _Never(CallbackGroup):
    """Whose entities the executor leaves alone."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


class Polled:
    """A subscription whose messages wait, as many as its QoS keeps, until they are taken.

    heard: called by `take` with each, the oldest first. For any thread.
    """

    def __init__(self, node: Node, topic: Topic, heard: Callable[[Any], None]) -> None:
        self._node, self._heard = node, heard
        self._subscription = node.create_subscription(
            topic.type, topic.name, heard, topic.qos, callback_group=_Never()
        )

    def take(self) -> None:
        """Hear what has come since the last call."""
        one = self._subscription
        try:
            with one.handle:
                while taken := one.handle.take_message(one.msg_type, one.raw):
                    self._heard(taken[0])
        except InvalidHandle:  # it was closed meanwhile
            return

    def close(self) -> None:
        """Hear no more."""
        self._node.destroy_subscription(self._subscription)
