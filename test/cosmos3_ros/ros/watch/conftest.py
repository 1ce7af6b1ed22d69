# SPDX-License-Identifier: Apache-2.0
"""Endpoints as the graph shows them, without DDS."""

from collections.abc import Callable
from typing import Any

import pytest


def _endpoint(name: str, kind: str = "std_msgs/msg/Bool", **qos: Any) -> Any:
    """An endpoint as the graph shows it; qos: what differs from reliable and volatile."""
    from rclpy.duration import Infinite
    from rclpy.qos import LivelinessPolicy, QoSProfile
    from rclpy.topic_endpoint_info import TopicEndpointInfo

    shown = {
        "depth": 1,
        "deadline": Infinite,
        "liveliness": LivelinessPolicy.AUTOMATIC,
        "liveliness_lease_duration": Infinite,
    }
    profile = QoSProfile(**(shown | qos))
    return TopicEndpointInfo(
        node_name=name, node_namespace="/", topic_type=kind, qos_profile=profile
    )


@pytest.fixture
def endpoint() -> Callable[..., Any]:
    """Function endpoint(node, type, what differs from the usual QoS)."""
    return _endpoint
