# SPDX-License-Identifier: Apache-2.0
"""What RViz and Foxglove are told to show exists: topics with their types, frames, programs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[3]
VIEWS = ("wrist", "exterior_1", "exterior_2")
# of RViz's displays, and of Foxglove's panels by the word before "!"
TYPES = {
    "rviz_default_plugins/Path": {"Path"},
    "rviz_default_plugins/Image": {"Image", "CompressedImage"},
    "rviz_default_plugins/RobotModel": {"String"},
    "3D": {"Path"},
    "Image": {"Image", "CompressedImage"},
    "DiagnosticSummary": {"DiagnosticArray"},
}


@pytest.fixture(scope="module")
def links() -> set[str]:
    from xml.etree import ElementTree

    robot = ElementTree.parse(config_folder() / "urdf" / "droid_sim.urdf").getroot()
    return {link.get("name", "") for link in robot.findall("link")}


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Message types of the topics that are published while a graph runs and is looked at."""
    from std_msgs.msg import String

    from cosmos3_ros.bringup import graph_page, view_graph

    found: dict[str, Any] = {}
    for interface, _, _ in graph_page.NODES.values():
        for topic in interface.publishes:
            for view in VIEWS if "<view>" in topic.name else ("",):
                found["/" + topic.name.replace("<view>", view).lstrip("/")] = topic.type
    for viewer in view_graph.view(view_graph.ViewOptions()).viewers:
        if viewer.executable == "robot_state_publisher":
            space = f"/{viewer.namespace}" if viewer.namespace else ""
            found[f"{space}/robot_description"] = String
    return found


def displays() -> list[dict[str, Any]]:
    file = yaml.safe_load((config_folder() / "cosmos3.rviz").read_text())
    manager: dict[str, Any] = file["Visualization Manager"]
    return list(manager["Displays"])


def test_rviz_shows_topics_that_are_there_with_their_types(known: dict[str, Any]) -> None:
    shown = {}
    for display in displays():
        for key in ("Topic", "Description Topic"):
            if key in display:
                shown[display[key]["Value"]] = display
    assert {"/cosmos3/path", "/cosmos3/future/compressed", "/ghost/robot_description"} <= {*shown}
    for name, display in shown.items():
        assert name in known, f"{display['Name']}: {name}"
        assert known[name].__name__ in TYPES[display["Class"]], display["Name"]


def test_rviz_hears_what_is_published(known: dict[str, Any]) -> None:
    """A display that asks for more than a publisher offers hears nothing."""
    from rclpy.qos import ReliabilityPolicy

    from cosmos3_ros.ros import topics

    offered = {f"/{topic.name}": topic.qos for topic in (topics.PATH, topics.FUTURE_FRAME)}
    offered |= {f"/{topics.camera(view, 'raw').name}": topics.NEWEST for view in VIEWS}
    for display in displays():
        asked = display.get("Topic")
        if asked and asked["Reliability Policy"] == "Reliable":
            qos = offered[asked["Value"]]
            assert qos.reliability == ReliabilityPolicy.RELIABLE, display["Name"]
        if asked:
            assert asked["Durability Policy"] == "Volatile"


def test_frames_are_links_of_the_robot_and_of_its_ghost(links: set[str]) -> None:
    from cosmos3_ros.bringup import view_graph

    file = yaml.safe_load((config_folder() / "cosmos3.rviz").read_text())
    options = file["Visualization Manager"]["Global Options"]
    layout = json.loads((config_folder() / "foxglove_layout.json").read_text())
    space = layout["configById"]["3D!cosmos3"]
    assert options["Fixed Frame"] == space["followTf"] == "panda_link0"
    assert "panda_link0" in links
    prefixes = [each["TF Prefix"] for each in displays() if "TF Prefix" in each]
    assert prefixes == ["", view_graph.GHOST]
    layers = [each for each in space["layers"].values() if each["layerId"] == "foxglove.Urdf"]
    assert [each["framePrefix"] for each in layers] == ["", f"{view_graph.GHOST}/"]


def panels(layout: Any) -> Iterator[str]:
    if isinstance(layout, str):
        yield layout
    else:
        for side in ("first", "second"):
            yield from panels(layout[side])


def named_topics(value: Any) -> Iterator[str]:
    """Every word of a configuration that begins as a topic does, without the path behind it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from named_topics(key)
            yield from named_topics(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named_topics(inner)
    elif isinstance(value, str) and value.startswith("/"):
        yield value


def test_the_layout_of_foxglove_shows_topics_and_fields_that_are_there(
    known: dict[str, Any],
) -> None:
    layout = json.loads((config_folder() / "foxglove_layout.json").read_text())
    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    for panel, config in layout["configById"].items():
        for word in named_topics(config):
            name, _, field = word.partition(".")
            assert name in known, f"{panel}: {name}"
            kind = known[name]
            if field:
                assert field.partition("[")[0] in kind.get_fields_and_field_types(), word
            expected = TYPES.get(panel.partition("!")[0])
            assert not expected or kind.__name__ in expected | {"String"}, panel


def test_beside_the_graph_start_display_frames_ghost_and_rviz() -> None:
    from cosmos3_ros.bringup import view_graph

    found = view_graph.view(view_graph.ViewOptions(use_sim_time=True))
    assert (found.display.executable, found.missing) == ("display", ())
    assert "display:use_sim_time:=true" in found.display.arguments()
    robot, ghost, tied, rviz = found.viewers
    assert (robot.remappings, robot.namespace) == ((("joint_states", "/joint_states"),), "")
    assert (
        robot.parameters["robot_description"] == (ROOT / "config/urdf/droid_sim.urdf").read_text()
    )
    assert ghost.remappings == (("joint_states", "/cosmos3/chunk_end"),)
    assert (ghost.parameters["frame_prefix"], ghost.namespace) == ("ghost/", "ghost")
    assert tied.arguments == (
        "--frame-id", "panda_link0", "--child-frame-id", "ghost/panda_link0",
    )  # fmt: skip
    assert rviz.arguments[-2:] == ("--fixed-frame", "panda_link0")
    assert Path(rviz.arguments[1]).is_file()
    assert all(viewer.parameters["use_sim_time"] for viewer in found.viewers)


def test_parts_of_the_view_can_be_left_out(tmp_path: Path) -> None:
    from cosmos3_ros.bringup.view_graph import ViewOptions, view

    bare = view(ViewOptions(ghost="none", describe=False, rviz=False))
    assert bare.viewers == ()
    leads = view(ViewOptions(ghost="command", describe=False, rviz=False))
    assert leads.viewers[0].remappings == (("joint_states", "/cosmos3/command"),)
    with pytest.raises(
        ValueError, match=r"ghost: expected 'chunk_end' or 'command' or 'none', got 'next'"
    ):
        ViewOptions(ghost="next")
    # its own bring-up has the description, under other names
    robot = tmp_path / "mine.yaml"
    robot.write_text(
        "/**/display:\n  ros__parameters: {urdf: 'topic:///robot_description', tool_frame: hand}\n"
    )
    found = view(ViewOptions(str(robot)))
    assert [viewer.package for viewer in found.viewers] == ["rviz2"]
    assert found.viewers[0].arguments[-1].endswith("cosmos3.rviz")
    (line,) = found.missing
    assert "mine.yaml to be a file, but it is topic:///robot_description" in line


def test_frames_follow_the_names_of_a_robot(tmp_path: Path) -> None:
    from cosmos3_ros.bringup.view_graph import ViewOptions, view

    robot = tmp_path / "mine.yaml"
    urdf = config_folder() / "urdf" / "droid_sim.urdf"
    robot.write_text(
        f"/**/display:\n  ros__parameters: {{urdf: '{urdf}', tool_frame: panda_tcp}}\n"
        "remappings:\n  ros__parameters: {joint_states: /franka/joint_states}\n"
    )
    model, ghost, *_ = view(ViewOptions(str(robot))).viewers
    assert model.remappings == (("joint_states", "/franka/joint_states"),)
    assert ghost.remappings == (("joint_states", "/cosmos3/chunk_end"),)
