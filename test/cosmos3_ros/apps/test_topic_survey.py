# SPDX-License-Identifier: Apache-2.0
"""An embodiment from live topics: joints, ranges, cameras and rates as they are published."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.embodiment import find_embodiment

pytestmark = pytest.mark.ros
TOPICS = ("/left_camera/color/image_raw", "/wrist_camera/image_raw")


@pytest.fixture
def robot(domain: int) -> Iterator[Any]:
    """An arm that counts in degrees, with two cameras at 20 Hz."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image, JointState

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("robot")
    states = node.create_publisher(JointState, "joint_states", 5)
    cameras = [node.create_publisher(Image, topic, 5) for topic in TOPICS]
    picture = Image(height=48, width=64, step=192, encoding="rgb8", data=bytes(48 * 192))
    count = iter(range(10**6))

    def publish() -> None:
        at = 90 * np.sin(next(count) / 5)
        names = ["gripper", "shoulder", "elbow"]
        states.publish(JointState(name=names, position=[50.0 + at / 3, at, 0.0]))
        for camera in cameras:
            camera.publish(picture)

    node.create_timer(0.05, publish)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield node
    executor.shutdown()
    thread.join()
    node.destroy_node()
    rclpy.shutdown()


def test_an_embodiment_is_begun_from_what_is_published(
    robot: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    words = ["embodiment", "init", "mine", "--topics", "--seconds", "3", "--out", str(file)]
    assert main(words) == 0
    said = capfd.readouterr().out
    assert "joint elbow: 0.0000 to 0.0000, does not move\n" in said
    assert said.count("does not move") == 1
    assert f"camera/wrist/image_raw: {TOPICS[1]}    # 64x48 at" in said
    assert "joint shoulder: -8" in said or "joint shoulder: -9" in said
    arm = find_embodiment(str(file))
    assert [(column.name, column.unit) for column in arm.state] == [
        ("shoulder", "deg"),
        ("elbow", "deg"),
        ("gripper", "percent"),
    ]
    assert arm.views == ("wrist", "left")
    assert arm.fps == pytest.approx(20, abs=6)


def test_silence_is_said(domain: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["embodiment", "init", "mine", "--topics", "--seconds", "0.5"]
    assert main([*words, "--out", str(tmp_path / "mine.yaml")]) == 1
    assert "heard 0 joints and 0 cameras in 0.5 s, expected some of both" in capfd.readouterr().err
