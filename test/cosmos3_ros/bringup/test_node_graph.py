# SPDX-License-Identifier: Apache-2.0
"""The node graph is described once: what is started, with which parameters and names."""

import pathlib

import pytest

from cosmos3_ros.bringup.node_graph import (
    MODULES,
    Options,
    processes,
    yaml_value,
)
from cosmos3_ros.robot.robot_file import config_folder, find_robot_file, read_remappings


def test_the_default_graph_is_simulation_brain_and_commander() -> None:
    found = processes(Options())
    assert [(p.executable, p.nodes) for p in found] == [
        ("sim", ("sim",)),
        ("brain", ("policy", "reasoner")),
        ("commander", ("commander",)),
    ]
    assert all(p.executable in MODULES for p in found)


def test_the_arm_does_not_move_unless_it_is_asked_for() -> None:
    assert "commander:armed:=false" in processes(Options())[-1].arguments()
    assert "commander:armed:=true" in processes(Options(armed=True))[-1].arguments()


@pytest.mark.parametrize(
    ("options", "executables"),
    [
        (Options(sim=False, reasoner=False), ["policy", "commander"]),
        (Options(sim=False, policy=False, commander=False), ["reasoner"]),
        (Options(policy=False, reasoner=False, commander=False), ["sim"]),
        (
            Options(sim=False, policy=False, reasoner=False, commander=False, server=True),
            ["server"],
        ),
    ],
)
def test_parts_can_be_left_out(options: Options, executables: list[str]) -> None:
    assert [p.executable for p in processes(options)] == executables


def test_the_server_runs_in_the_process_of_the_policy() -> None:
    (brain,) = processes(Options(sim=False, commander=False, reasoner=False, server=True, port=9))
    assert (brain.executable, brain.nodes) == ("brain", ("policy", "server"))
    assert brain.arguments()[:3] == ["policy", "server", "--ros-args"]
    assert "server:port:=9" in brain.arguments()


@pytest.mark.parametrize(
    ("options", "own"),
    [
        (Options("isaac_droid"), True),
        # on a robot the robot file decides, and may refuse a checkpoint
        (Options("isaac_droid", sim=False), False),
        (Options("isaac_droid", checkpoint="/trained/for/droid"), False),
    ],
)
def test_the_embedded_checkpoint_moves_the_embedded_simulation_as_any_robot(
    options: Options, own: bool
) -> None:
    brain = next(process for process in processes(options) if "policy" in process.parameters)
    assert brain.parameters["policy"].get("embodiment") == ("" if own else None)


def test_a_remote_reasoner_is_a_process_of_its_own() -> None:
    found = processes(
        Options(sim=False, remote_url="http://gpu:8000/v1", remote_model="nvidia/cosmos3")
    )
    assert [p.executable for p in found] == ["reasoner", "policy", "commander"]
    arguments = found[0].arguments()
    assert 'reasoner:remote_url:="http://gpu:8000/v1"' in arguments
    assert 'reasoner:remote_model:="nvidia/cosmos3"' in arguments
    assert not any("remote" in word for p in found[1:] for word in p.arguments())


def test_words_keep_their_type_on_the_way_through_yaml() -> None:
    assert [yaml_value(value) for value in (True, 3, "3", "pick up", "")] == [
        "true",
        "3",
        '"3"',
        '"pick up"',
        '""',
    ]


def test_unknown_robots_and_files_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"unknown robot 'nobody': expected one of \[.*'droid_sim'"
    ):
        find_robot_file("nobody")
    with pytest.raises(ValueError, match=r"'/nowhere/x\.yaml' does not exist"):
        find_robot_file("/nowhere/x.yaml")
    with pytest.raises(ValueError, match="nothing to start"):
        processes(Options(policy=False, reasoner=False, commander=False, sim=False))


def test_remappings_come_from_the_robot_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("remappings:\n  ros__parameters:\n    camera/wrist/image_raw: /wrist/rgb\n")
    raw, compressed = (
        ("camera/wrist/image_raw", "/wrist/rgb"),
        ("camera/wrist/image_raw/compressed", "/wrist/rgb/compressed"),
    )
    assert read_remappings(path) == (raw, compressed)
    assert (
        "camera/wrist/image_raw:=/wrist/rgb" in processes(Options(robot=str(path)))[1].arguments()
    )
    path.write_text(path.read_text() + "    camera/wrist/image_raw/compressed: /jpeg\n")
    assert read_remappings(path) == (raw, (compressed[0], "/jpeg"))
    path.write_text("- not\n- a mapping\n")
    with pytest.raises(ValueError, match="not a ROS parameter file"):
        read_remappings(path)


@pytest.mark.parametrize("path", sorted(config_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_robot_file_fits_the_nodes(path: pathlib.Path) -> None:
    """Its parameters exist and are valid, and its joints fit its embodiment."""
    pytest.importorskip("rclpy", reason="rclpy is not installed")
    import typing

    import yaml

    from cosmos3_ros.model.embodiment import find_embodiment
    from cosmos3_ros.model.option_fields import coerce
    from cosmos3_ros.nodes import commander_node, policy_node, reasoner_node, server_node

    content = yaml.safe_load(path.read_text())
    classes = {
        "/**/policy": policy_node.Params,
        "/**/reasoner": reasoner_node.Params,
        "/**/server": server_node.Params,
        "/**/commander": commander_node.Params,
    }
    made = {}
    for name, cls in classes.items():  # a section that is missing leaves the defaults
        given = content.get(name, {}).get("ros__parameters", {})
        kinds = typing.get_type_hints(cls)
        made[name] = cls(**{key: coerce(key, kinds[key], value) for key, value in given.items()})
    policy = content["/**/policy"]["ros__parameters"]
    embodiment = find_embodiment(policy["embodiment"])
    assert len(policy["joints"]) == len(embodiment.state)
    assert set(made["/**/reasoner"].views) == set(embodiment.views)
