# SPDX-License-Identifier: Apache-2.0
"""Every node refuses parameters that it does not have; the shipped robot files have none."""

from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.robot.robot_file import config_folder

pytestmark = pytest.mark.ros
NODES = (
    "policy",
    "reasoner",
    "server",
    "commander",
    "sim",
    "task_server",
    "display",
    "console",
)


@pytest.mark.parametrize("path", sorted(config_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_robot_file_is_taken_by_every_node(path: Path) -> None:
    from cosmos3_ros.nodes.known_parameters import KNOWN, checker

    assert set(KNOWN) == set(NODES)
    for node in NODES:
        assert checker(node)(["program", "--ros-args", "--params-file", str(path)]) == []


@pytest.mark.parametrize("node", NODES)
def test_a_misspelt_parameter_is_refused_by_every_node(node: str) -> None:
    from cosmos3_ros.nodes.known_parameters import KNOWN, checker

    name = max(KNOWN[node])
    for rule in (f"{node}:{name}x:=1", f"{name}x:=1"):
        with pytest.raises(ValueError, match=f"unknown parameter '{name}x'.*'{name}'?"):
            checker(node)(["program", "--ros-args", "-p", rule])


def test_the_process_ends_with_one_line(start: Any) -> None:
    robot = config_folder() / "droid_sim.yaml"
    for rule, words in (
        ("commander:recovry:=explicit", "unknown parameter 'recovry' of commander, did you mean "),
        ("max_jump:=.nan", "parameter 'max_jump': expected a finite number, got nan"),
    ):
        commander = start("commander", "--ros-args", "--params-file", robot, "-p", rule)
        assert commander.process.wait(30) == 2
        (line,) = commander.output.splitlines()
        assert words in line


def test_a_node_that_is_made_without_a_command_line_refuses_it(domain: int) -> None:
    import rclpy
    from rclpy.parameter import Parameter

    from cosmos3_ros.nodes.commander_node import CommanderNode

    rclpy.init(args=["--ros-args", "-p", "instruction:=go"])  # the policy's, in a section for all
    try:
        CommanderNode().destroy_node()
        with pytest.raises(ValueError, match="'recovry', did you mean 'recovery'"):
            CommanderNode(parameter_overrides=[Parameter("recovry", value="explicit")])
    finally:
        rclpy.shutdown()
