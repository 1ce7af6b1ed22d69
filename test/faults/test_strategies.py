# SPDX-License-Identifier: Apache-2.0
"""The arm moves on the real graph in every strategy, switched while it moves, and into every kind of controller."""

import threading
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]


def set_parameter(graph: Any, node: str, name: str, value: Any) -> None:
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    client = graph.relay.node.create_client(SetParameters, f"{node}/set_parameters")
    assert client.wait_for_service(10)
    done = threading.Event()
    future = client.call_async(SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()]))
    future.add_done_callback(lambda _: done.set())
    assert done.wait(10)
    (result,) = future.result().results
    assert result.successful, result.reason


def test_strategies_are_switched_while_the_arm_moves(graph: Any, wait_until: Any) -> None:
    relay = graph.relay
    graph.policy.wait_for("ready after", 60)
    wait_until(lambda: relay.status is not None and relay.call("arm", data=True).success, "arming")
    chunks: list[Any] = []
    relay.change["cosmos3/action_chunk"] = lambda message: chunks.append(message) or message
    for strategy in ("crossfade", "rtc", "replace"):
        set_parameter(graph, "policy", "strategy", strategy)
        wait_until(lambda s=strategy: relay.status.strategy == s, strategy)
        played, rejected = relay.status.played, relay.status.rejected
        wait_until(lambda n=played: relay.status.played > n + 4, f"chunks in {strategy}")
        assert relay.status.rejected == rejected, relay.status.last_rejection
    set_parameter(graph, "policy", "strategy", "sync")
    wait_until(lambda: relay.status.strategy == "sync", "sync")
    set_parameter(graph, "commander", "recovery", "explicit")
    played, reported = relay.status.played, len(relay.heard)
    wait_until(lambda: relay.status.played > played + 3, "chunks in sync")
    assert {status.mode for status in relay.heard[reported:]} == {"playing", "holding"}, "it waits for each chunk"
    assert relay.status.armed, "waiting between two chunks is no fault"
    assert chunks[-1].horizon == 8
    lines = np.array(relay.points)
    assert np.abs(np.diff(lines, axis=0)).max() < 2.48 / 50 * 3, "no step of the set points, even if a tick is late"

    relay.change["joint_states"] = lambda message: None
    wait_until(lambda: not relay.status.armed, "explicit recovery disarms")
    del relay.change["joint_states"]
    played = relay.status.played
    wait_until(lambda: relay.status.played > played + 2, "the dry run to go on")
    assert not relay.status.armed


@pytest.mark.parametrize("sink", ["position_stream", "joint_command"])
def test_the_arm_follows_a_stream_and_stops_smoothly(sink: str, start: Any, domain: int, wait_until: Any) -> None:
    """The commander streams to the simulation; Ctrl-C in mid-motion still brakes to rest."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import JointState

    from cosmos3_ros import topics
    from cosmos3_ros.convert import chunk_message
    from cosmos3_ros.graph import robot_file
    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.sim.robot import ARM, FINGER, HOME

    robot = ("--ros-args", "--params-file", robot_file("droid_sim"))
    start("sim", *robot)
    commander = start("commander", *robot, "-p", f"sink:={sink}", "-p", "armed:=true", "-p", "rate:=100.0")
    rclpy.init(args=[])
    node, executor = rclpy.create_node("watcher"), SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    measured: list[Any] = []
    points: list[Any] = []
    node.create_subscription(JointState, "joint_states", measured.append, 5)
    stream = {"position_stream": topics.POSITIONS, "joint_command": topics.JOINT_COMMAND}[sink]
    field = "data" if sink == "position_stream" else "position"
    node.create_subscription(stream.type, stream.name, points.append, 50)
    chunks = node.create_publisher(topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, 5)
    values = np.tile(np.array([*HOME, 0.8], np.float32), (60, 1))
    values[:, 0] += np.linspace(0, 2.0, 60, dtype=np.float32)

    def turned(by: float) -> bool:
        if not measured or measured[-1].position[0] < 0.02:  # until the commander knows the arm
            chunk = ActionChunk(values, (*ARM, FINGER), node.get_clock().now().nanoseconds, NS // 15, (FINGER,))
            chunks.publish(chunk_message(chunk, number=1, instruction="", embodiment="", seconds={}))
        return bool(measured) and measured[-1].position[0] > by

    try:
        wait_until(lambda: turned(0.3), "the arm to turn", 30)
        assert measured[-1].position[7] > 0.5, "the gripper too"
        assert commander.interrupt() == 0
        wait_until(lambda: abs(measured[-1].velocity[0]) < 0.01, "rest")
        steps = np.diff([np.array(getattr(message, field))[0] for message in points])
        cruise = np.median(steps[steps > 0])
        slower = steps[np.flatnonzero(steps > 0.9 * cruise)[-1] + 1 :]
        assert len(slower[slower > 0.1 * cruise]) >= 3, "no sudden stop: the last set points come closer and closer"
        assert slower[-1] < 0.1 * cruise
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()
