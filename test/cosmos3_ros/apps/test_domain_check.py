# SPDX-License-Identifier: Apache-2.0
"""Commands that start nodes of their own refuse a ROS domain in which others run."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros


def test_another_graph_in_the_same_domain_is_told(
    domain: int, wait_until: Callable[..., None]
) -> None:
    import rclpy

    from cosmos3_ros.apps.demo import watching
    from cosmos3_ros.apps.domain_check import OURS, check_alone, check_nobody
    from cosmos3_ros.bringup.node_graph import Options

    with watching(Options(), ()) as recorder:
        check_nobody(recorder)
        for topic in OURS:
            nodes = [rclpy.create_node("policy", namespace=name) for name in ("", "other")]
            for number, node in enumerate(nodes, 1):
                node.create_publisher(topic.type, f"/{topic.name}", topic.qos)
                wait_until(lambda n=number, t=topic: recorder.count_publishers(t.name) == n, "it")
                if number == 1:
                    check_alone(recorder)
                    with pytest.raises(ValueError, match=f"/policy publishes /{topic.name}: "):
                        check_nobody(recorder)
            with pytest.raises(ValueError, match=rf"/other/policy, /policy.* domain {domain};"):
                check_alone(recorder)
            for node in nodes:
                node.destroy_node()
            wait_until(lambda t=topic: recorder.count_publishers(t.name) == 0, "their end")


@pytest.mark.sim
@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--out", "OUT"],
        ["eval", "CHECKPOINT", "--through", "nodes", "--task", "reach", "--episodes", "1"],
    ],
)
def test_beside_a_robot_nothing_is_started(
    domain: int, watcher: object, words: list[str], tmp_path: Path
) -> None:
    """A robot's joint states are enough: what is started would arm its commander."""
    from sensor_msgs.msg import JointState

    watcher.create_publisher(JointState, "joint_states", 10)  # type: ignore[attr-defined]
    places = {"OUT": str(tmp_path / "out"), "CHECKPOINT": "embedded"}
    command = [sys.executable, "-m", "cosmos3_ros.cli", *(places.get(one, one) for one in words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"publishes /joint_states: another graph runs in ROS domain {domain}" in done.stderr
    assert not (tmp_path / "out" / "nodes.log").exists()
