# SPDX-License-Identifier: Apache-2.0
"""Every launch file under launch_testing, included from another description.

`colcon test` runs this on a ROS install.

launch_test test/launching/launch_files.py
"""

import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import rclpy
from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from lifecycle_msgs.srv import GetState

from launch import LaunchDescription

SHARE = Path(get_package_share_directory("cosmos3_ros"))
BRAIN = ("policy", "reasoner", "commander")
STARTED = [  # file, arguments, lifecycle nodes that become active, other nodes
    ("policy.launch.py", {}, BRAIN, ("sim",)),
    ("sim.launch.py", {}, (), ("sim",)),
    ("reasoner.launch.py", {}, ("reasoner",), ()),
    ("reasoner.launch.py", {"remote_url": "http://127.0.0.1:9/v1"}, ("reasoner",), ()),
    ("server.launch.py", {"port": "0", "policy": "true"}, ("server", "policy"), ()),
    ("view.launch.py", {"rviz": "false"}, ("display",), ()),
    (
        "isaac.launch.py",
        {"sim": "true", "reasoner": "false"},
        ("policy", "commander"),
        ("sim",),
    ),
]
SECONDS = 120


@launch_testing.parametrize("file, arguments, managed, others", STARTED)
def generate_test_description(file, arguments, managed, others):
    """The launch file as a part of a larger system."""
    source = PythonLaunchDescriptionSource(str(SHARE / "launch" / file))
    included = IncludeLaunchDescription(source, launch_arguments=list(arguments.items()))
    return LaunchDescription([included, launch_testing.actions.ReadyToTest()])


class TestNodes(unittest.TestCase):
    """What runs while it is launched."""

    def test_every_node_comes_up(self, managed, others):
        rclpy.init()
        self.addCleanup(rclpy.shutdown)
        node = rclpy.create_node("launch_test")
        self.addCleanup(node.destroy_node)
        for name in managed:
            assert self._state(node, name) == "active"
        end = node.get_clock().now() + rclpy.duration.Duration(seconds=SECONDS)
        while not set(others) <= set(node.get_node_names()) and node.get_clock().now() < end:
            rclpy.spin_once(node, timeout_sec=0.1)
        assert set(others) <= set(node.get_node_names())

    def _state(self, node, name):
        """The lifecycle state of a node, as soon as it is active or when the time is over."""
        client = node.create_client(GetState, f"/{name}/get_state")
        assert client.wait_for_service(SECONDS), f"no node {name}"
        end = node.get_clock().now() + rclpy.duration.Duration(seconds=SECONDS)
        state = ""
        while state != "active" and node.get_clock().now() < end:
            asked = client.call_async(GetState.Request())
            rclpy.spin_until_future_complete(node, asked, timeout_sec=5.0)
            state = asked.result().current_state.label if asked.result() else ""
        return state


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """What is left after Ctrl-C."""

    def test_every_process_ended_well(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
