# SPDX-License-Identifier: Apache-2.0
"""The page of the node graph is what the code says, and what the code says is what runs."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[3]


def test_the_page_is_up_to_date() -> None:
    from cosmos3_ros.bringup.graph_page import page

    assert (ROOT / "docs" / "graph.md").read_text() == page(), (
        "python -m cosmos3_ros.bringup.graph_page > docs/graph.md"
    )


@pytest.mark.sim
def test_the_running_graph_has_the_topics_and_services_of_the_page(
    start: Any, wait_until: Any
) -> None:
    """What each node of the default graph publishes, subscribes to and offers over DDS."""
    import rclpy

    from cosmos3_ros.bringup import graph_page
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.robot.robot_file import config_folder
    from cosmos3_ros.ros import topics

    robot = str(config_folder() / "droid_sim.yaml")
    options = Options(
        robot=robot,
        use_sim_time=True,
        server=True,
        port=0,
        task_server=True,
        display=True,
        view=True,
        view_port=0,
    )
    running = [start(p.executable, *p.arguments()) for p in processes(options)]
    rclpy.init(args=[])
    node = rclpy.create_node("watcher")
    frame = topics.FUTURE_FRAME  # which makes the display node listen to futures
    node.create_subscription(frame.type, frame.name, lambda message: None, frame.qos)
    try:
        # The server is the last of the slow process. Until it is up, topics are still being made,
        # and only then does the time for discovery begin.
        running[1].wait_for("ready: ws://", 120)
        wait_until(lambda: set(node.get_node_names()) >= {*graph_page.NODES}, "the nodes", 60)
        for name, (interface, _, _) in graph_page.NODES.items():
            outs, ins = (
                by_default(name, interface.publishes),
                by_default(name, interface.subscribes),
            )
            offers = {topic_name(name, offer.name) for offer in interface.offers if not offer.needs}
            expected = (outs, ins, offers)
            # then the assertion says what is missing
            with contextlib.suppress(pytest.fail.Exception):
                wait_until(
                    lambda n=name, e=expected: seen(node, n) == e, f"{name} to have {expected}", 60
                )
            assert seen(node, name) == expected, (
                f"{name}, of the nodes {sorted(node.get_node_names())}"
            )
    finally:
        node.destroy_node()
        rclpy.shutdown()
    assert [process.interrupt(60) for process in running] == [0] * len(running)


def test_topics_that_are_there_instead_name_a_parameter_of_their_node() -> None:
    from cosmos3_ros.bringup import graph_page

    for interface, params, _ in graph_page.NODES.values():
        for topic in (*interface.subscribes, *interface.publishes):
            if topic.instead:
                name, value = topic.instead.split(": ")
                assert getattr(params(**{name: value}), name) != getattr(params(), name)


def by_default(node: str, topics: tuple[Any, ...]) -> set[str]:
    """Full names of those that a node has without further parameters, actions aside."""
    found = [t for t in topics if not t.instead and "/_action/" not in t.name]
    return {topic_name(node, t.name, view) for t in found for view in views(t.name)}


def seen(node: Any, name: str) -> tuple[set[str], set[str], set[str]]:
    """Topics published and subscribed to, services and actions of a node as others see them."""
    from rclpy.action import get_action_server_names_and_types_by_node

    return (
        own(node.get_publisher_names_and_types_by_node(name, "/"), name),
        own(node.get_subscriber_names_and_types_by_node(name, "/"), name),
        own(node.get_service_names_and_types_by_node(name, "/"), name)
        | own(get_action_server_names_and_types_by_node(node, name, "/"), name),
    )


def views(name: str) -> tuple[str, ...]:
    return ("wrist", "exterior_1", "exterior_2") if "<view>" in name else ("",)


def topic_name(node: str, name: str, view: str = "") -> str:
    return "/" + name.replace("~", node).replace("<view>", view).lstrip("/")


def own(found: list[tuple[str, list[str]]], node: str) -> set[str]:
    """What is not there on every node anyway."""
    standard = (
        "rosout",
        "parameter_events",
        "transition_event",
        "change_state",
        "get_",
        "set_",
        "list_",
        "describe_",
    )
    names = {name for name, _ in found if "/_action/" not in name}
    common = {name for name in names if name.rsplit("/", 1)[-1].startswith(standard)}
    clock = {"/clock"} if node != "sim" else set()
    return names - common - clock
