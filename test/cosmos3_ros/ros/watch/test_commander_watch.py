# SPDX-License-Identifier: Apache-2.0
"""The commander in a real graph: stops of every kind, who commands, who listens, who is not heard.

Other nodes are participants of their own, each with a context, in this process.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..resting_arm import RestingArm

pytestmark = pytest.mark.ros

ARM = {
    "joints": ["a"],
    "lower": [-1.0],
    "upper": [1.0],
    "velocity": [2.0],
    "acceleration": [8.0],
    "jerk": [200.0],
    "gripper_joint": "g",
}


class Graph(RestingArm):
    """The commander, spun by hand, and other nodes by name."""

    def __init__(self, **parameters: Any) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter

        from cosmos3_ros.nodes.commander_node import CommanderNode
        from cosmos3_ros.ros.node_runner import bring_up

        self.others: list[tuple[Any, Any]] = []  # contexts and nodes
        self.said: list[str] = []
        values = [Parameter(name, value=value) for name, value in (ARM | parameters).items()]
        self.node = CommanderNode(parameter_overrides=values)
        self.node.get_logger().info = self.said.append  # type: ignore[method-assign]
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.begin: Callable[[], bool] = lambda: bring_up(self.node)
        self.rclpy = rclpy

    def other(self, name: str) -> Any:
        context = self.rclpy.Context()
        self.rclpy.init(args=[], context=context)
        self.others.append((context, self.rclpy.create_node(name, context=context)))
        return self.others[-1][1]

    def stop_button(self, name: str, qos: Any) -> Any:
        from std_msgs.msg import Bool

        return self.other(name).create_publisher(Bool, "cosmos3/stop", qos)

    def controller(self, name: str = "arm_controller") -> Any:
        from cosmos3_ros.ros import topics

        topic = topics.TRAJECTORY
        return self.other(name).create_subscription(topic.type, topic.name, print, topic.qos)

    def arm(self, wanted: bool = True) -> str:
        from std_srvs.srv import SetBool

        self.measure()
        answer = self.node._on_arm(SetBool.Request(data=wanted), SetBool.Response())
        return "" if answer.success else str(answer.message)

    def comes_to(self, condition: Callable[[str], object], timeout: float = 10.0) -> bool:
        """Whether ~/arm is once answered as the condition asks."""
        answers: list[str] = []

        def ask() -> object:
            answers.append(self.arm())
            return condition(answers[-1])

        assert self.spin(ask, timeout), answers[-1]
        return True

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        for context, node in self.others:
            node.destroy_node()
            context.shutdown()


@pytest.fixture
def make(domain: int) -> Iterator[Callable[..., Graph]]:
    import rclpy

    graphs: list[Graph] = []

    def function(**parameters: Any) -> Graph:
        graphs.append(Graph(**parameters))
        return graphs[-1]

    rclpy.init(args=[])
    yield function
    for graph in graphs:
        graph.close()
    rclpy.shutdown()


def qos(reliable: bool, latched: bool) -> Any:
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def press(button: Any, down: bool) -> None:
    from std_msgs.msg import Bool

    button.publish(Bool(data=down))


STOPPED = "not armed: stopped by cosmos3/stop"


@pytest.mark.parametrize("armed", [False, True])
def test_a_stop_that_was_latched_before_the_start_counts(make: Any, armed: bool) -> None:
    graph = make(armed=armed)
    button = graph.stop_button("estop", qos(True, True))
    press(button, True)
    assert graph.begin()
    assert graph.arm(), "before anything of the stop topic can have come"
    assert graph.spin(lambda: graph.node._stopped)
    assert (graph.arm(), graph.node._armed) == (STOPPED, False)
    press(button, False)
    assert graph.comes_to(lambda answer: not answer)


def test_publishers_of_every_quality_of_service_are_heard(make: Any) -> None:
    graph = make()
    assert graph.begin()
    graph.controller()
    kinds = ((False, False, 1), (True, False, 2), (False, True, 1), (True, True, 3))
    for reliable, latched, matched in kinds:
        button = graph.stop_button(f"estop_{reliable}_{latched}", qos(reliable, latched))
        assert graph.comes_to(lambda answer: not answer)
        assert graph.spin(lambda b=button, n=matched: b.get_subscription_count() == n)
        press(button, True)
        assert graph.spin(lambda: not graph.node._armed), (reliable, latched)
        assert graph.arm() == STOPPED
        press(button, False)
        assert graph.comes_to(lambda answer: not answer), (reliable, latched)


def test_who_holds_the_stop_releases_it_and_nobody_else(make: Any) -> None:
    graph = make()
    assert graph.begin()
    first, second = (graph.stop_button(name, qos(True, True)) for name in ("first", "second"))
    press(first, True)
    assert graph.spin(lambda: graph.node._stopped)
    press(second, False)
    graph.spin(lambda: False, 0.5)
    assert graph.arm() == STOPPED
    press(first, False)  # its second message, or the second's: they are asked what they said last
    assert graph.comes_to(lambda answer: not answer)


def test_a_publisher_that_cannot_be_heard_prevents_arming_by_name(make: Any) -> None:
    from std_msgs.msg import String

    from cosmos3_ros.ros import topics

    graph = make()
    assert graph.begin()
    graph.spin(lambda: False, 0.6)
    assert graph.arm() == ""
    graph.arm(False)
    wrong = graph.other("dashboard").create_publisher(String, "cosmos3/stop", 1)
    assert graph.comes_to(
        lambda answer: (
            answer == "not armed: /cosmos3/stop: /dashboard publishes "
            "std_msgs/msg/String, expected std_msgs/msg/Bool"
        )
    )
    wrong.destroy()
    assert graph.comes_to(lambda answer: not answer)
    graph.arm(False)
    chunk = topics.ACTION_CHUNK
    graph.other("hasty").create_publisher(chunk.type, chunk.name, qos(False, False))
    assert graph.comes_to(
        lambda answer: (
            "/hasty publishes with a quality of service that is not heard: Best effort" in answer
        )
    )


def test_a_second_master_is_named_and_prevents_arming_and_holds(make: Any) -> None:
    from cosmos3_ros.ros import topics

    graph = make(recovery="explicit")
    assert graph.begin()
    graph.controller()
    graph.spin(lambda: False, 0.6)
    assert graph.comes_to(lambda answer: not answer)
    other = graph.other("moveit").create_publisher(
        topics.TRAJECTORY.type, topics.TRAJECTORY.name, 1
    )
    # held at once, whether its name is known by then or not
    assert graph.spin(lambda: any("commands" in one and "dry run" in one for one in graph.said))
    graph.arm(False)
    assert graph.node._fault(graph.node.now()) == "", "in a dry run others may command"
    name = "/arm_controller/joint_trajectory"
    assert graph.comes_to(lambda answer: answer == f"not armed: /moveit commands {name}, too")
    other.destroy()
    assert graph.comes_to(lambda answer: not answer)


def test_recorders_are_no_controllers_and_a_deaf_gripper_is_said(make: Any) -> None:
    from rclpy.qos import QoSProfile

    from cosmos3_ros.ros import topics

    graph = make(recovery="automatic")
    assert graph.begin()
    graph.controller("rosbag2_recorder")
    graph.spin(lambda: False, 0.6)
    assert graph.arm() == ""
    name = "/arm_controller/joint_trajectory"
    deaf = f"no controller listens on {name} (/rosbag2_recorder only watches)"
    assert graph.spin(lambda: graph.node._fault(graph.node.now()) == deaf)
    watch = graph.node._watch
    assert graph.spin(lambda: "no controller listens" in watch.faults.now.get("gripper", ""))
    graph.controller()
    topic = topics.GRIPPER
    graph.other("gripper_controller").create_subscription(
        topic.type, topic.name, print, QoSProfile(depth=1)
    )
    assert graph.spin(lambda: not graph.node._fault(graph.node.now()))
    assert graph.spin(lambda: "gripper" not in watch.faults.now)


def test_the_words_of_an_armed_commander_that_waits() -> None:
    from cosmos3_ros.ros.watch.commander_watch import CommanderWatch

    class Nobody:
        def resolve_topic_name(self, name: str) -> str:
            return f"/{name}"

        def get_logger(self) -> Any:
            return self

        def warning(self, text: str) -> None:
            said.append(text)

        info = warning

    said: list[str] = []
    watch = CommanderWatch(Nobody(), (), 0)  # type: ignore[arg-type]
    for second in range(12):
        watch.report(second * 10**9, True, 7, 3)
    watch.report(12 * 10**9, True, 8, 4)
    assert said == [
        "set points: armed, but none for 1.0 s",
        "chunks: armed, but none on /cosmos3/action_chunk for 10 s (nobody)",
        "set points: good again",
        "chunks: good again",
    ]
