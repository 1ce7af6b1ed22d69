# SPDX-License-Identifier: Apache-2.0
"""The limits of the arm may come from the topic of robot_state_publisher."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.ros

JOINTS = "".join(
    f'<joint name="{name}" type="revolute"><limit lower="-1" upper="2" velocity="3"/></joint>'
    for name in "ab"
)
URDF = f"<robot name='r'>{JOINTS}<ros2_control><joint name='a'/></ros2_control></robot>"
TOPIC = "topic:///robot_description"


@pytest.fixture
def asking(watcher: Any) -> Iterator[Any]:
    """A node that nothing spins, as one that is being configured."""
    import rclpy

    node = rclpy.create_node("asking", context=watcher.context)
    yield node
    node.destroy_node()


def publish(node: Any, text: str) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.ros.topics import LATCHED

    node.create_publisher(String, "/robot_description", LATCHED).publish(String(data=text))


def test_a_description_that_was_published_before_is_received(watcher: Any, asking: Any) -> None:
    from cosmos3_ros.nodes.commander_params import Params
    from cosmos3_ros.nodes.robot_description import receive_description

    publish(watcher, URDF)
    text = receive_description(asking, TOPIC)
    assert text == URDF
    limits = Params(joints=["a", "b"], urdf=TOPIC, acceleration=[8.0] * 2, jerk=[200.0] * 2).limits(
        text
    )
    assert limits.velocity.tolist() == [3.0, 3.0]
    assert (limits.lower.tolist(), limits.upper.tolist()) == ([-1.0, -1.0], [2.0, 2.0])
    assert receive_description(asking, "/path/to/robot.urdf") == ""


def test_a_description_that_never_comes_is_named_in_time(asking: Any) -> None:
    from cosmos3_ros.nodes.robot_description import receive_description

    began = time.monotonic()
    with pytest.raises(
        ValueError,
        match=r"'topic:///robot_description': nothing came in 0\.3 s from 0 publishers; expected",
    ):
        receive_description(asking, TOPIC, 0.3)
    assert time.monotonic() - began < 2.0


def test_the_commander_is_configured_with_it_or_says_what_is_wrong(
    start: Any, watcher: Any
) -> None:
    words = ["--ros-args", "-p", f"urdf:={TOPIC}", "-p", "acceleration:=[8.0, 8.0]"]
    words += ["-p", "jerk:=[200.0, 200.0]", "-p"]
    publish(watcher, URDF)
    from cosmos3_ros.msg import CommanderStatus

    heard: list[Any] = []
    watcher.create_subscription(CommanderStatus, "cosmos3/commander_status", heard.append, 1)
    start("commander", *words, "joints:=[a, b]")
    until = time.monotonic() + 20
    while not heard and time.monotonic() < until:
        time.sleep(0.05)
    assert heard
    start("commander", *words, "joints:=[a, c]", "-r", "__node:=other").wait_for(
        "robot description 'topic:///robot_description' lacks the joints"
    )
