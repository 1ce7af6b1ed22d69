# SPDX-License-Identifier: Apache-2.0
"""The robot description that a topic holds, as robot_state_publisher publishes it."""

from __future__ import annotations

import time

from rclpy.node import Node
from rclpy.wait_for_message import wait_for_message
from std_msgs.msg import String

from ..robot.urdf import description_topic
from ..ros.topics import LATCHED

PATIENCE = 5.0  # s until a description that was published before has come


def receive_description(node: Node, source: str, patience: float = PATIENCE) -> str:
    """The URDF on the topic that `source` names ("topic:///robot_description"); "" if none does.

    For the thread that spins the node, which waits. ValueError if nothing comes in time.
    """
    topic = description_topic(source)
    until = time.monotonic() + patience
    while topic and (left := until - time.monotonic()) > 0:
        _, message = wait_for_message(String, node, topic, qos_profile=LATCHED, time_to_wait=left)
        if message is not None:
            return message.data
    if not topic:
        return ""
    publishers = node.count_publishers(topic)
    raise ValueError(
        f"robot description {source!r}: nothing came in {patience} s from {publishers} publishers; "
        "expected std_msgs/String with durability transient local, as of robot_state_publisher"
    )
