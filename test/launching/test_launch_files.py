# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch and launch_ros.

Skipped where those are not installed (the PyPI wheels).
"""

import dataclasses
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None or shutil.which("ros2") is None,
        reason="launch_ros and ros2cli: only on a ROS install",
    ),
]


def ros2(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ros2", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("file", ["policy", "isaac"])
def test_every_option_is_an_argument(domain: int, file: str) -> None:
    from cosmos3_ros.bringup.graph_options import Options

    shown = ros2("launch", "cosmos3_ros", f"{file}.launch.py", "--show-args").stdout
    for field in dataclasses.fields(Options):
        assert f"'{field.name}':" in shown
        assert field.metadata["doc"] in shown
    assert ("(default: 'isaac_droid')" in shown) == (file == "isaac")


@pytest.mark.parametrize(
    ("file", "offered", "missing"),
    [
        ("reasoner", "remote_url", "armed"),
        ("server", "port", "armed"),
        ("sim", "task", "checkpoint"),
    ],
)
def test_a_part_of_the_graph_has_the_arguments_that_matter_to_it(
    domain: int, file: str, offered: str, missing: str
) -> None:
    shown = ros2("launch", "cosmos3_ros", f"{file}.launch.py", "--show-args").stdout
    assert f"'{offered}':" in shown
    assert f"'{missing}':" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["robot:=nobody"], "unknown robot 'nobody'"),
        (["reasoner:=perhaps"], "expected true or false, got 'perhaps'"),
        (["sim:=false", "reasoner:=false", "checkpoint:=/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line_and_an_error(
    domain: int, arguments: list[str], words: str
) -> None:
    done = ros2("launch", "cosmos3_ros", "policy.launch.py", *arguments)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


@pytest.mark.sim
def test_policy_launch_brings_every_node_to_active_and_ctrl_c_ends_it(
    start: Any, wait_until: Any
) -> None:
    launched = start(shutil.which("ros2"), "launch", "cosmos3_ros", "policy.launch.py")

    def states() -> list[str]:
        return [
            ros2("lifecycle", "get", "--no-daemon", f"/{node}").stdout.strip()
            for node in ("policy", "reasoner", "commander")
        ]

    wait_until(lambda: states() == ["active [3]"] * 3, "all nodes to be active", 90)
    assert launched.interrupt() == 0
    assert not launched.running()


@pytest.mark.sim
@pytest.mark.parametrize("prefix", [(), ("--launch-prefix", "timeout 600")])
def test_a_killed_launch_leaves_no_node_behind(
    start: Any, wait_until: Any, prefix: tuple[str, ...]
) -> None:
    words = ("launch", *prefix, "cosmos3_ros", "policy.launch.py")
    launched = start(shutil.which("ros2"), *words)
    launched.wait_for("reasoner ready", 90)
    assert len(launched.running()) >= 4
    launched.process.kill()
    launched.process.wait()
    wait_until(lambda: not launched.running(), "the nodes to end", 20)


def test_the_server_launch_serves(start: Any) -> None:
    launched = start(shutil.which("ros2"), "launch", "cosmos3_ros", "server.launch.py", "port:=0")
    launched.wait_for("ready: ws://127.0.0.1:", 60)
    assert launched.interrupt() == 0


def test_the_reasoner_launch_asks_an_endpoint(start: Any) -> None:
    url = "http://127.0.0.1:9/v1"
    launched = start(
        shutil.which("ros2"), "launch", "cosmos3_ros", "reasoner.launch.py", f"remote_url:={url}"
    )
    launched.wait_for(f"reasoner ready, asks {url}")
    assert launched.interrupt() == 0


@pytest.mark.sim
def test_launch_files_can_be_included(
    start: Any, tmp_path: Path, watcher: Any, wait_until: Any
) -> None:
    """Isaac Sim's part of the graph and its stand-in, included with arguments of their own."""
    whole = tmp_path / "whole.launch.py"
    whole.write_text("""
from launch import LaunchDescription
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

def part(name, **arguments):
    path = PathJoinSubstitution([FindPackageShare("cosmos3_ros"), "launch", f"{name}.launch.py"])
    return GroupAction([IncludeLaunchDescription(path, launch_arguments=list(arguments.items()))])

def generate_launch_description():
    alone = {"policy": "false", "reasoner": "false"}
    sim = part("sim", robot="isaac_droid", use_sim_time="true")
    return LaunchDescription([sim, part("isaac", **alone)])
""")
    launched = start(shutil.which("ros2"), "launch", whole)
    wait_until(lambda: {"sim", "commander"} <= set(watcher.get_node_names()), "both nodes", 60)
    wait_until(
        lambda: (
            ros2("lifecycle", "get", "--no-daemon", "/commander").stdout.strip() == "active [3]"
        ),
        "the commander",
        60,
    )
    expected = {"/wrist_cam/rgb", "/joint_command", "/clock"}
    wait_until(
        lambda: expected <= {*ros2("topic", "list", "--no-daemon").stdout.split()}, "the topics", 60
    )
    assert launched.interrupt() == 0
