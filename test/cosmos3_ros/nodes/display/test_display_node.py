# SPDX-License-Identifier: Apache-2.0
"""Chunk and future in the messages of viewers: path, end, the due frame; nothing unasked."""

import time
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.robot.robot_file import config_folder, find_robot_file

pytestmark = pytest.mark.ros
ARM = tuple(f"panda_joint{number}" for number in range(1, 8))
STEP = NS // 15


def future(stamp: int, count: int = 4) -> Any:
    """A message whose frames are not pictures, but say their number."""
    from sensor_msgs.msg import CompressedImage

    from cosmos3_ros.msg import Future
    from cosmos3_ros.ros.messages import header, to_duration

    frames = [
        CompressedImage(header=header(stamp + k * STEP), format="jpeg", data=bytes([k]))
        for k in range(count)
    ]
    return Future(header=header(stamp), step=to_duration(STEP), frames=frames)


def test_a_frame_is_due_for_one_step() -> None:
    from cosmos3_ros.nodes.display.display_node import due_frame

    message = future(5 * NS)
    for passed, expected in ((0, 0), (STEP - 1, 0), (STEP, 1), (4 * STEP - 1, 3)):
        frame = due_frame(message, 5 * NS + passed)
        assert frame is not None
        assert frame.data[0] == expected
    for passed in (-1, 4 * STEP):
        assert due_frame(message, 5 * NS + passed) is None
    message.step.sec = message.step.nanosec = 0
    assert due_frame(message, 5 * NS) is None


class World:
    """The policy, and a viewer that listens when it is told to."""

    def __init__(self, node: Any) -> None:
        from cosmos3_ros.ros import topics

        self.node, self.number = node, 0
        self.heard: dict[str, list[Any]] = {}
        self.chunks, self.futures = (
            node.create_publisher(topic.type, topic.name, topic.qos)
            for topic in (topics.ACTION_CHUNK, topics.FUTURE)
        )
        self.subscriptions: dict[str, Any] = {}

    def listen(self, topic: Any) -> list[Any]:
        kept = self.heard[topic.name] = []
        self.subscriptions[topic.name] = self.node.create_subscription(
            topic.type, topic.name, kept.append, topic.qos
        )
        return kept

    def forget(self, topic: Any) -> None:
        self.node.destroy_subscription(self.subscriptions.pop(topic.name))

    def infer(self, rows: np.ndarray, names: tuple[str, ...], discrete: tuple[str, ...]) -> Any:
        """Publish a chunk of now; it."""
        from cosmos3_ros.ros.messages import chunk_message

        self.number += 1
        stamp = int(self.node.get_clock().now().nanoseconds)
        chunk = ActionChunk(rows.astype(np.float32), names, stamp, STEP, discrete)
        words: Any = {"number": self.number, "instruction": "go", "embodiment": "", "seconds": {}}
        self.chunks.publish(chunk_message(chunk, **words))
        return chunk


def arm_rows(count: int = 6) -> np.ndarray:
    home = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0])
    return np.column_stack([home + 0.05 * np.arange(count)[:, None], np.linspace(0.0, 0.8, count)])


def test_chunk_and_future_are_drawn_for_those_who_listen(
    start: Any, watcher: Any, wait_until: Any
) -> None:
    from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import to_ns

    world = World(watcher)
    display = start("display", "--ros-args", "--params-file", find_robot_file("droid_sim"),
                    "-p", f"urdf:={config_folder() / 'urdf' / 'droid_sim.urdf'}")  # fmt: skip
    display.wait_for("display ready")
    wait_until(lambda: world.chunks.get_subscription_count() == 1, "the display node")
    ends, paths = world.listen(topics.CHUNK_END), world.listen(topics.PATH)
    wait_until(lambda: watcher.count_publishers(topics.PATH.name) == 1, "its path")
    time.sleep(0.5)  # each has heard of the other
    names = (*ARM, "finger_joint")
    chunk = world.infer(arm_rows(), names, names[7:])
    wait_until(lambda: paths and ends, "a path and an end", 20)
    assert dict(zip(ends[-1].name, ends[-1].position, strict=True)) == pytest.approx(
        dict(zip(names, chunk.values[-1].tolist(), strict=True))
    )
    path = paths[-1]
    tool = ToolFrame(
        ToolSettings(str(config_folder() / "urdf" / "droid_sim.urdf"), "panda_tcp"), ARM
    )
    assert {path.header.frame_id, *(pose.header.frame_id for pose in path.poses)} == {"panda_link0"}
    assert [to_ns(pose.header.stamp) for pose in path.poses] == chunk.times().tolist()
    drawn = [[p.pose.position.x, p.pose.position.y, p.pose.position.z] for p in path.poses]
    assert np.allclose(drawn, tool.points(chunk.values[:, :7].astype(np.float64)), atol=1e-9)

    # a chunk of another robot: said once, and the next good one is drawn
    for _ in range(2):
        world.infer(arm_rows()[:, :6], ARM[:6], ())
    display.wait_for("path: tool_frame 'panda_tcp' is moved by ['panda_joint7']")
    world.infer(arm_rows(), names, names[7:])
    display.wait_for("path: good again")
    wait_until(lambda: len(paths) == 2, "the next path")
    assert display.output.count("is moved by") == 1

    # nobody wants frames: futures need not be decoded
    assert world.futures.get_subscription_count() == 0
    frames = world.listen(topics.FUTURE_FRAME)
    wait_until(lambda: world.futures.get_subscription_count() == 1, "interest in futures", 10)
    time.sleep(0.3)
    stamp = watcher.get_clock().now().nanoseconds
    world.futures.publish(future(stamp, 12))
    wait_until(lambda: frames and frames[-1].data[0] == 11, "the last frame", 10)
    came = [frame.data[0] for frame in frames]
    assert came == sorted(set(came))  # each once, in their order
    assert len(came) > 6
    assert [to_ns(frame.header.stamp) for frame in frames] == [stamp + k * STEP for k in came]
    world.forget(topics.FUTURE_FRAME)
    wait_until(lambda: world.futures.get_subscription_count() == 0, "no more interest", 10)
    assert display.interrupt() == 0


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (("tool_frame:=hand",), "parameter 'urdf' is empty: expected the robot description that"),
        (("tool_frame:=hand", f"urdf:={config_folder()}/urdf/droid_sim.urdf"), "has the frames"),
        (("joints:=[a]", "units:=[inch]"), "parameter 'units': expected one of ['rad', 'deg', "),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(rules: tuple[str, ...], words: str) -> None:
    import rclpy
    from rclpy.parameter import Parameter

    from cosmos3_ros.nodes.display.display_node import DisplayNode

    given = [rule.split(":=") for rule in rules]
    values = {name: v.strip("[]").split(",") if "[" in v else v for name, v in given}
    rclpy.init(args=[], domain_id=67)
    try:
        node = None
        try:
            node = DisplayNode(
                parameter_overrides=[Parameter(n, value=v) for n, v in values.items()]
            )
            node.trigger_configure()
            said = node.failure
        except ValueError as error:
            said = str(error)
        assert words in said
        if node:
            node.destroy_node()
    finally:
        rclpy.shutdown()
