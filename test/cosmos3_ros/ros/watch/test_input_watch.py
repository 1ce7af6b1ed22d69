# SPDX-License-Identifier: Apache-2.0
"""Inputs that do not come, or not whole, and a clock that does not go: said once, and when over."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.ros

NS = 10**9
IMAGE = "sensor_msgs/msg/Image"


class Node:
    """A graph without DDS, with a logger and a steady clock that is set by hand."""

    def __init__(self) -> None:
        self.publishers: list[Any] = []
        self.said: list[str] = []
        self.time = 100 * NS

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return self.publishers

    def get_logger(self) -> Any:
        return self

    def warning(self, text: str) -> None:
        self.said.append(text)

    info = warning

    def resolve_topic_name(self, name: str) -> str:
        return f"/{name}"


@pytest.fixture
def node() -> Node:
    return Node()


def wrist(node: Node, reliability: str = "best_effort") -> tuple[Any, Callable[[Any], None], Any]:
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.watch.input_watch import InputWatch

    watch = InputWatch(node, lambda: node.time)  # type: ignore[arg-type]
    watched = watch.add(topics.camera("wrist", "raw", reliability))
    receive, _ = watch.counted(watched, lambda message: None)
    return watch, receive, watched


def run(node: Node, watch: Any, seconds: int, each: Callable[[], None] = lambda: None) -> None:
    for _ in range(seconds):
        node.time += NS
        each()
        watch.check()


def test_a_camera_that_nobody_publishes_is_said_and_when_it_is_there(
    node: Node, endpoint: Any
) -> None:
    watch, receive, _ = wrist(node)
    run(node, watch, 4)
    assert node.said == []
    run(node, watch, 8)
    assert node.said == ["input /camera/wrist/image_raw: nobody publishes it"]
    node.publishers = [endpoint("camera", IMAGE)]
    receive(None)
    run(node, watch, 8)
    assert node.said[1:] == ["input /camera/wrist/image_raw: good again"]


def test_a_publisher_of_whom_nothing_arrives_is_said_with_the_cure(
    node: Node, endpoint: Any
) -> None:
    watch, receive, _ = wrist(node)
    node.publishers = [endpoint("camera", IMAGE)]
    run(node, watch, 5)
    assert node.said == []
    run(node, watch, 5)
    (said,) = node.said
    assert "/camera publishes it, but no complete message has arrived" in said
    assert "net.core.rmem_max" in said
    assert "image_reliability: reliable" in said
    assert "image_transport: compressed" in said
    receive(None)
    run(node, watch, 1)
    assert node.said[1:] == ["input /camera/wrist/image_raw: good again"]


def test_losses_are_said_when_they_are_most_of_it(node: Node, endpoint: Any) -> None:
    watch, receive, watched = wrist(node)
    node.publishers = [endpoint("camera", IMAGE)]

    def lose(share: int) -> Callable[[], None]:
        def second() -> None:
            watched.lost += share
            for _ in range(10 - share):
                receive(None)

        return second

    run(node, watch, 20, lose(2))
    assert node.said == []
    run(node, watch, 10, lose(8))
    (said,) = node.said
    assert said.startswith("losses of /camera/wrist/image_raw: ")
    assert "messages were lost on the way" in said
    run(node, watch, 10, lose(0))
    assert node.said[1:] == ["losses of /camera/wrist/image_raw: good again"]


def test_a_camera_of_another_type_or_reliability_is_named(node: Node, endpoint: Any) -> None:
    from rclpy.qos import ReliabilityPolicy

    watch, _, _ = wrist(node, "reliable")
    node.publishers = [
        endpoint("usb_cam", IMAGE, reliability=ReliabilityPolicy.BEST_EFFORT),
        endpoint("zed", "sensor_msgs/msg/CompressedImage"),
    ]
    run(node, watch, 2)
    (said,) = node.said
    assert "/usb_cam publishes with a quality of service that is not heard: Best effort" in said
    assert f"/zed publishes sensor_msgs/msg/CompressedImage, expected {IMAGE}" in said


def test_words_now_and_then_may_stay_away(node: Node, endpoint: Any) -> None:
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.watch.input_watch import InputWatch

    watch = InputWatch(node, lambda: node.time)  # type: ignore[arg-type]
    watch.add(topics.INSTRUCTION)
    run(node, watch, 30)
    node.publishers = [endpoint("person", "std_msgs/msg/String")]
    run(node, watch, 30)
    assert node.said == []


def test_a_clock_that_does_not_come_or_stops_is_said_within_5_s(node: Node) -> None:
    watch, _, _ = wrist(node)

    def check(now: int, seconds: int, simulated: bool = True) -> None:
        for _ in range(seconds):
            node.time += NS
            watch.check_clock(simulated, now)

    check(0, 2)
    assert node.said == []
    check(0, 3)
    never = "clock: use_sim_time is true but no /clock comes"
    assert [said[: len(never)] for said in node.said] == [never]
    check(7 * NS, 1)
    assert node.said[1:] == ["clock: good again"]
    check(7 * NS, 9)
    assert node.said[2:] == []
    check(7 * NS, 1)
    assert node.said[2:] == ["clock: use_sim_time is true and /clock stands still at 7.000 s"]
    node.said.clear()
    check(8 * NS, 1)
    check(8 * NS, 9, simulated=False)
    assert node.said == ["clock: good again"]


def test_of_a_simulation_that_is_still_starting_only_its_clock_is_missed(
    node: Node, endpoint: Any
) -> None:
    watch, _, _ = wrist(node)
    node.publishers = [endpoint("sim", IMAGE)]

    def at(now: int) -> Callable[[], None]:
        return lambda: watch.check_clock(True, now)

    run(node, watch, 30, at(0))
    never = "clock: /sim publishes /clock, but none has come: still starting?"
    assert [said for said in node.said if said.startswith("clock")] == [never]
    assert not [said for said in node.said if "no complete message" in said]
    node.said.clear()
    run(node, watch, 3, at(NS))  # it begins: pictures have as long as ever to come
    assert node.said[0] == "clock: good again"
    assert not [said for said in node.said if "no complete message" in said]
    run(node, watch, 7, at(NS))
    assert any("no complete message" in said for said in node.said)
