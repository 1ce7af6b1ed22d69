# SPDX-License-Identifier: Apache-2.0
"""A stream that is polled: heard when it is taken, as much as its QoS keeps, not before."""

import time

import pytest

pytestmark = pytest.mark.ros


def test_messages_wait_until_they_are_taken(domain: int) -> None:
    import rclpy
    from std_msgs.msg import Header

    from cosmos3_ros.nodes.console.polled import Polled
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.spin_thread import spinning

    rclpy.init(args=[])
    node, source = rclpy.create_node("heard"), rclpy.create_node("source")
    heard: list[str] = []
    kept = topics.RELIABLE.depth
    topic = topics.Topic("stream", Header, topics.RELIABLE, "a stream")
    polled = Polled(node, topic, lambda message: heard.append(message.frame_id))
    publisher = source.create_publisher(Header, topic.name, topic.qos)
    with spinning(node):
        while not publisher.get_subscription_count():
            time.sleep(0.01)
        names = [f"{k}" for k in range(2 * kept)]
        for name in names:
            publisher.publish(Header(frame_id=name))
            time.sleep(0.02)
        assert heard == [], "the executor leaves it alone"
        end = time.monotonic() + 10
        while names[-1] not in heard:
            assert time.monotonic() < end, heard
            polled.take()
        assert heard == names[-kept:]
        polled.take()
        assert len(heard) == kept
        polled.close()
        polled.take()
    rclpy.shutdown()
