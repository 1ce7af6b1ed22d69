# SPDX-License-Identifier: Apache-2.0
"""Who is heard on a topic, who listens, who else publishes: by node, in words."""

from typing import Any

import pytest

pytestmark = pytest.mark.ros


class Graph:
    def __init__(self, publishers: Any = (), subscriptions: Any = ()) -> None:
        self.publishers, self.subscriptions = publishers, subscriptions

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return self.publishers

    def get_subscriptions_info_by_topic(self, topic: str) -> list[Any]:
        return self.subscriptions

    def get_fully_qualified_name(self) -> str:
        return "/commander"


def test_publishers_that_nobody_hears_are_named_with_the_reason(endpoint: Any) -> None:
    from rclpy.duration import Duration
    from rclpy.qos import ReliabilityPolicy
    from std_msgs.msg import Bool

    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.watch.graph_endpoints import unheard

    hasty = endpoint("hasty", reliability=ReliabilityPolicy.BEST_EFFORT)
    other = endpoint("other", "std_msgs/msg/String")
    good = endpoint("good", deadline=Duration(seconds=1))
    assert unheard([good, hasty], Bool, topics.STOP_QOS) == []
    assert unheard([good, hasty], Bool, [topics.RELIABLE]) == [
        "/hasty publishes with a quality of service that is not heard: "
        "Best effort publisher and reliable subscription"
    ]
    assert unheard([other], Bool, topics.STOP_QOS) == [
        "/other publishes std_msgs/msg/String, expected std_msgs/msg/Bool"
    ]


@pytest.mark.parametrize(
    ("listener", "why"),
    [
        (None, "no controller listens on /t"),
        ("rosbag2_recorder", "no controller listens on /t (/rosbag2_recorder only watches)"),
        ("_ros2cli_77", "no controller listens on /t (/_ros2cli_77 only watches)"),
        ("arm_controller", ""),
    ],
)
def test_a_recorder_or_a_viewer_is_no_controller(
    endpoint: Any, listener: str | None, why: str
) -> None:
    from std_msgs.msg import Bool

    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.watch.graph_endpoints import nobody_takes

    graph = Graph(subscriptions=[endpoint(listener)] if listener else [])
    assert nobody_takes(graph, "/t", Bool, topics.RELIABLE) == why  # type: ignore[arg-type]


def test_a_controller_that_cannot_hear_is_none(endpoint: Any) -> None:
    from rclpy.qos import DurabilityPolicy
    from std_msgs.msg import Bool

    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.watch.graph_endpoints import nobody_takes

    latched = endpoint("arm_controller", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    other = endpoint("old_controller", "std_msgs/msg/Int8")
    why = nobody_takes(Graph(subscriptions=[latched, other]), "/t", Bool, topics.RELIABLE)  # type: ignore[arg-type]
    assert why == (
        "no controller listens on /t (/arm_controller does not hear it: Volatile publisher and "
        "transient local subscription, /old_controller expects std_msgs/msg/Int8)"
    )


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["commander"], []),
        ([""], []),  # its name is not known yet
        (["commander", "moveit"], ["/moveit"]),
        (["commander", "commander"], ["another node named /commander"]),
    ],
)
def test_other_publishers_are_those_besides_our_own(
    endpoint: Any, names: list[str], others: list[str]
) -> None:
    from cosmos3_ros.ros.watch.graph_endpoints import other_publishers

    assert other_publishers(Graph([endpoint(name) for name in names]), "/t") == others  # type: ignore[arg-type]
