# SPDX-License-Identifier: Apache-2.0
"""What the commander does when publishers, the scheduler or the clock are wrong."""

import os
import threading
import time
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

ARM = {
    "joints": ["a", "b"],
    "lower": [-1.0, -1.0],
    "upper": [1.0, 1.0],
    "velocity": [2.0, 2.0],
    "acceleration": [8.0, 8.0],
    "jerk": [200.0, 200.0],
}


def test_real_time_is_for_every_thread_or_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos3_ros.ros.realtime import hurry

    asked: list[Any] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *words: asked.append(words))
    hurry(0)
    assert not asked
    hurry(7)
    assert {thread for thread, *_ in asked} >= {threading.main_thread().native_id}
    assert {(policy, param.sched_priority) for _, policy, param in asked} == {(os.SCHED_FIFO, 7)}

    def forbidden(*words: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with pytest.raises(
        ValueError,
        match=r"'realtime_priority' is 7, but: .*not permitted; expected 0, or CAP_SYS_NICE",
    ):
        hurry(7)


def arguments(**more: Any) -> list[str]:
    from cosmos3_ros.bringup.node_graph import yaml_value

    words = ["--ros-args"]
    for name, value in (ARM | more).items():
        words += ["-p", f"{name}:={yaml_value(value)}"]
    return words


def test_a_publisher_whose_qos_does_not_match_is_said(start: Any, watcher: Any) -> None:
    from rclpy.qos import qos_profile_sensor_data

    from cosmos3_ros.ros import topics

    commander = start("commander", *arguments())
    watcher.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, qos_profile_sensor_data
    )
    commander.wait_for("offering incompatible QoS. No messages will be received from it")


class Clockwork:
    """/clock and the joint states of a resting arm, on a clock that can be set."""

    def __init__(self, node: Any) -> None:
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header, to_time

        clock, joints = (
            node.create_publisher(Clock, "/clock", 5),
            node.create_publisher(JointState, "joint_states", 5),
        )
        self.offset, self.ended = 100 * 10**9 - time.monotonic_ns(), threading.Event()

        def run() -> None:
            while not self.ended.wait(0.01):
                clock.publish(Clock(clock=to_time(self.now)))
                joints.publish(
                    JointState(header=header(self.now), name=["b", "a"], position=[0.2, 0.1])
                )

        self.thread = threading.Thread(target=run)
        self.thread.start()

    @property
    def now(self) -> int:
        return time.monotonic_ns() + self.offset

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


def test_a_clock_that_is_set_back_ends_in_a_hold_without_a_step(
    start: Any, watcher: Any, wait_until: Any
) -> None:
    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message, to_ns

    reports: list[Any] = []
    points: list[tuple[int, list[float]]] = []
    for topic, heard in (
        (topics.COMMANDER_STATUS, reports.append),
        (topics.COMMAND, lambda m: points.append((to_ns(m.header.stamp), m.position))),
    ):
        watcher.create_subscription(topic.type, topic.name, heard, topic.qos)
    watcher.create_subscription(
        topics.TRAJECTORY.type, topics.TRAJECTORY.name, lambda m: None, topics.TRAJECTORY.qos
    )
    chunks = watcher.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    rows = np.array([0.1, 0.2], np.float32) + np.linspace(0, 0.4, 45, dtype=np.float32)[:, None]
    clockwork = Clockwork(watcher)
    commander = start("commander", *arguments(use_sim_time=True, armed=True))

    def playing() -> bool:
        chunk = ActionChunk(rows, ("a", "b"), clockwork.now, NS // 15)
        message = chunk_message(chunk, number=1, instruction="", embodiment="", seconds={})
        if not (reports and reports[-1].mode == "playing"):
            chunks.publish(message)
        return bool(
            reports and reports[-1].mode == "playing" and points and points[-1][1][0] > 0.15
        )

    try:
        wait_until(playing, "the arm to be driven", 30)
        clockwork.offset -= 60 * NS
        wait_until(lambda: reports[-1].mode == "holding", "a hold", 20)
        assert reports[-1].reason == "the clock jumped back"
        assert "the clock jumped back" in commander.output
        count = len(points)
        wait_until(lambda: len(points) > count + 30, "set points on the new clock", 20)
        moments, positions = (np.array(column) for column in zip(*points, strict=True))
        # 0.13 rad/s, however long the machine stood still
        late = np.maximum(np.diff(moments) / NS, 0)
        assert (np.abs(np.diff(positions, axis=0)).max(axis=1) < 0.05 + 0.3 * late).all()
        wait_until(playing, "motion on the new clock", 20)
    finally:
        clockwork.close()
