# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch and launch_ros; skipped where those are not installed (the PyPI wheels)."""

import dataclasses
import importlib.util
import shutil
import subprocess
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


def test_every_option_is_an_argument(domain: int) -> None:
    from cosmos3_ros.graph import Options

    shown = ros2("launch", "cosmos3_ros", "policy.launch.py", "--show-args").stdout
    for field in dataclasses.fields(Options):
        assert f"'{field.name}':" in shown
        assert field.metadata["doc"] in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["robot:=nobody"], "unknown robot 'nobody'"),
        (["reasoner:=perhaps"], "expected true or false, got 'perhaps'"),
        (["sim:=false", "reasoner:=false", "checkpoint:=/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line_and_an_error(domain: int, arguments: list[str], words: str) -> None:
    done = ros2("launch", "cosmos3_ros", "policy.launch.py", *arguments)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


@pytest.mark.sim
def test_policy_launch_brings_every_node_to_active_and_ctrl_c_ends_it(start: Any, wait_until: Any) -> None:
    launched = start(shutil.which("ros2"), "launch", "cosmos3_ros", "policy.launch.py")

    def states() -> list[str]:
        return [ros2("lifecycle", "get", f"/{node}").stdout.strip() for node in ("policy", "reasoner", "commander")]

    wait_until(lambda: states() == ["active [3]"] * 3, "all nodes to be active", 90)
    assert launched.interrupt() == 0
    assert not launched.running()


def test_the_server_launch_serves_and_says_what_it_can_be_told(start: Any) -> None:
    shown = ros2("launch", "cosmos3_ros", "server.launch.py", "--show-args").stdout
    assert "'port':" in shown
    assert "'armed':" not in shown
    launched = start(shutil.which("ros2"), "launch", "cosmos3_ros", "server.launch.py", "port:=0")
    launched.wait_for("ready: ws://127.0.0.1:", 60)
    assert launched.interrupt() == 0
