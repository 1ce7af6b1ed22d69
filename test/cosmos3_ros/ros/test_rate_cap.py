# SPDX-License-Identifier: Apache-2.0
"""A stream at 1 kHz is taken as often as the cap lets, one at 50 Hz whole."""

import time

import pytest

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ("rate", "cap", "least", "most"),
    [(1000, 200.0, 20, 220), (50, 200.0, 30, 50), (1000, 30.0, 10, 35)],
)
def test_fast_streams_are_thinned_and_slow_ones_are_not(
    domain: int, rate: int, cap: float, least: int, most: int
) -> None:
    import rclpy
    from std_msgs.msg import Header

    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.rate_cap import RateCap
    from cosmos3_ros.ros.spin_thread import spinning

    rclpy.init(args=[])
    node, source = rclpy.create_node("heard"), rclpy.create_node("source")
    heard: list[int] = []
    node.create_subscription(
        Header,
        "stream",
        lambda message: heard.append(message.stamp.sec),
        topics.NEWEST,
        callback_group=RateCap(cap),
    )
    node.create_timer(0.02, lambda: None)
    publisher = source.create_publisher(Header, "stream", topics.RELIABLE)
    with spinning(node):
        while not publisher.get_subscription_count():
            time.sleep(0.01)
        begin, sent = time.monotonic(), 0
        while sent < rate:
            message = Header()
            message.stamp.sec = sent = sent + 1
            publisher.publish(message)
            time.sleep(max(0.0, begin + sent / rate - time.monotonic()))
        time.sleep(0.2)
    assert least <= len(heard) <= most * max(1.0, time.monotonic() - begin) + 10
    assert heard == sorted(heard)
    assert heard[-1] > 0.95 * rate, "the newest one"
    node.destroy_node()
    source.destroy_node()
    rclpy.shutdown()
