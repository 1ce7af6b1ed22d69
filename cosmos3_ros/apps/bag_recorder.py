# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 record`: `ros2 bag record` without the ROS command line.

It records the topics that `cosmos3 convert` reads, and what people look at beside them: future,
scene and path. The bytes as received, with the time of receipt.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import get_package_share_directory
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ..bringup.remapped_names import check_remappings
from ..robot import topic_names
from ..robot.parameter_file import read_sections
from ..robot.recorded_robot import RecordedRobot, read_robot
from ..robot.robot_file import find_robot_file
from ..ros import topics
from ..ros.shutdown_signal import Stop, ignore_stop_signals

TOPICS = {
    topic.name: topic
    for topic in (
        topics.JOINT_STATES,
        topics.ODOMETRY,
        topics.INSTRUCTION,
        topics.SIM_STATUS,
        topics.COMMANDER_STATUS,
        topics.TRAJECTORY,
        topics.POSITIONS,
        topics.JOINT_COMMAND,
        topics.GRIPPER,
        topics.COMMAND,
        topics.ACTION_CHUNK,
        topics.FUTURE,
        topics.SCENE,
        topics.PATH,
        topics.SURPRISE,
    )
}
DEPTH = 200  # messages that wait while the disk is busy


class BagRecorder(Node):
    """Writes every message of a robot's topics to a bag, unread; spun by one thread."""

    def __init__(
        self, writer: Writer, robot: RecordedRobot, transport: str, future: bool = True
    ) -> None:
        """future: record futures, which the policy decodes only if somebody listens."""
        super().__init__("bag_recorder")
        self.counts: dict[str, int] = {}
        self._writer, self._store = writer, get_typestore(Stores.ROS2_JAZZY)
        for file in sorted(Path(get_package_share_directory("cosmos3_ros"), "msg").glob("*.msg")):
            self._store.register(
                get_types_from_msg(file.read_text(), f"cosmos3_ros/msg/{file.stem}")
            )
        cameras = [topics.camera(view, transport) for view in robot.embodiment.views]
        heard = [TOPICS[name] for name in robot.heard]
        commands = [
            TOPICS[topic_names.command(name)].of(group.name)
            for name, group in robot.commands.items()
        ]
        shown = [TOPICS[name] for name in topic_names.SHOWN if future or name != topic_names.FUTURE]
        for topic in (*cameras, *heard, *commands, *shown):
            self._listen(robot.topics[topic.name], topic)

    def _listen(self, name: str, topic: topics.Topic) -> None:
        package, kind = topic.type.__module__.split(".")[0], topic.type.__name__
        connection = self._writer.add_connection(
            name, f"{package}/msg/{kind}", typestore=self._store
        )
        self.counts[name] = 0

        def keep(data: bytes) -> None:
            self._writer.write(connection, time.time_ns(), data)
            self.counts[name] += 1

        qos = QoSProfile(
            depth=DEPTH, reliability=topic.qos.reliability, durability=topic.qos.durability
        )
        self.create_subscription(topic.type, name, keep, qos, raw=True)


def record(folder: Path, robot: str, transport: str, future: bool = True) -> int:
    """Record until Ctrl-C and say what came; the exit code.

    ValueError if the folder exists, or if the robot file is wrong.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists: expected a new folder")
    about, path = read_robot(robot), find_robot_file(robot)
    check_remappings(path, read_sections(path), simulated=True)
    ended = Stop().on_signals()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        node: Any = BagRecorder(writer, about, transport, future)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        print(f"recording {len(node.counts)} topics into {folder}; Ctrl-C ends it", flush=True)
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.2)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    ignore_stop_signals()
    for name, count in node.counts.items():
        print(f"{count:8} {name}")
    return 0
