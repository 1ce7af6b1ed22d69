# SPDX-License-Identifier: Apache-2.0
"""Who publishes and who listens on a topic, by node, and whether the two can hear each other.

DDS matches endpoints by type and by quality of service (QoS), and is silent about those it does
not match.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rclpy.duration import Infinite
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.qos import LivelinessPolicy as Liveliness
from rclpy.qos import ReliabilityPolicy as Reliability
from rclpy.topic_endpoint_info import TopicEndpointInfo

# Nodes that listen to everything and control nothing: their names begin so.
MONITORS = (
    "rosbag2",
    "_ros2cli",
    "rqt",
    "rviz",
    "foxglove",
    "plotjuggler",
    "rosbridge",
    "rosapi",
    "bag_recorder",
    "recorder",
)

NAMELESS = "a node without a name"


def type_name(kind: Any) -> str:
    """package/msg/Name of a message class, as the graph calls it."""
    package, folder = kind.__module__.split(".")[:2]
    return f"{package}/{folder}/{kind.__name__}"


def node_label(endpoint: TopicEndpointInfo) -> str:
    """The full name of an endpoint's node, as far as it is known."""
    if not endpoint.node_name or endpoint.node_name.startswith("_NODE_NAME_UNKNOWN"):
        return NAMELESS
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"


def is_monitor(endpoint: TopicEndpointInfo) -> bool:
    """Whether the endpoint belongs to a recorder or a viewer."""
    return str(endpoint.node_name).startswith(MONITORS)


def is_latched(endpoint: TopicEndpointInfo) -> bool:
    """Whether a publisher sends what it said before to those who come later."""
    qos = endpoint.qos_profile
    return bool(
        qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and qos.reliability == Reliability.RELIABLE
    )


def _in_full(qos: QoSProfile) -> QoSProfile:
    """With the values that the graph shows for what a profile leaves to the middleware."""
    return QoSProfile(
        depth=max(1, qos.depth),
        reliability=qos.reliability,
        durability=qos.durability,
        deadline=qos.deadline if qos.deadline.nanoseconds else Infinite,
        liveliness=qos.liveliness or Liveliness.AUTOMATIC,
        liveliness_lease_duration=qos.liveliness_lease_duration
        if qos.liveliness_lease_duration.nanoseconds
        else Infinite,
    )


def _conflict(published: QoSProfile, wanted: QoSProfile) -> str:
    """Why a publisher does not reach a subscription; empty if it does."""
    verdict, reason = qos_check_compatible(_in_full(published), _in_full(wanted))
    return reason.strip(" ;") if verdict == QoSCompatibility.ERROR else ""


def unheard(
    publishers: Iterable[TopicEndpointInfo], kind: Any, subscribed: Sequence[QoSProfile]
) -> list[str]:
    """Which publishers of a topic none of its subscriptions hears, and why."""
    found = []
    for endpoint in publishers:
        who = node_label(endpoint)
        if endpoint.topic_type != type_name(kind):
            found.append(f"{who} publishes {endpoint.topic_type}, expected {type_name(kind)}")
            continue
        conflicts = [_conflict(endpoint.qos_profile, qos) for qos in subscribed]
        if all(conflicts):
            why = conflicts[0].removeprefix("ERROR: ")
            found.append(f"{who} publishes with a quality of service that is not heard: {why}")
    return found


def nobody_takes(node: Node, topic: str, kind: Any, published: QoSProfile) -> str:
    """Why no controller gets what is published on a topic; empty if one does.

    Recorders and viewers are none, and neither is a node that the publisher cannot reach.
    """
    others = []
    for endpoint in node.get_subscriptions_info_by_topic(topic):
        who = node_label(endpoint)
        if is_monitor(endpoint):
            others.append(f"{who} only watches")
        elif endpoint.topic_type != type_name(kind):
            others.append(f"{who} expects {endpoint.topic_type}")
        elif conflict := _conflict(published, endpoint.qos_profile):
            others.append(f"{who} does not hear it: {conflict.removeprefix('ERROR: ')}")
        else:
            return ""
    return f"no controller listens on {topic}" + (f" ({', '.join(others)})" if others else "")


def other_publishers(node: Node, topic: str) -> list[str]:
    """The nodes that publish a topic besides `node`, which has one publisher of it.

    Another node of the same name is among them.
    """
    names = sorted(node_label(endpoint) for endpoint in node.get_publishers_info_by_topic(topic))
    own = node.get_fully_qualified_name()
    for mine in (own, NAMELESS):  # its name comes a moment after it
        if mine in names:
            names.remove(mine)
            break
    return [f"another node named {name}" if name == own else name for name in names]
