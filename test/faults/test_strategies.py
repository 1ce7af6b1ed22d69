# SPDX-License-Identifier: Apache-2.0
"""The real graph in every strategy, switched in motion, with every kind of controller."""

import threading
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]


def set_parameter(graph: Any, node: str, name: str, value: Any) -> None:
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    client = graph.relay.node.create_client(SetParameters, f"{node}/set_parameters")
    assert client.wait_for_service(30)
    done = threading.Event()
    future = client.call_async(
        SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    )
    future.add_done_callback(lambda _: done.set())
    assert done.wait(30)
    (result,) = future.result().results
    assert result.successful, result.reason


def switch(graph: Any, wait_until: Any) -> str:
    """Five chunks in each strategy, sync at last; what was wrong with it, empty for nothing."""
    relay = graph.relay
    rejected = relay.status.rejected
    relay.points.clear()
    for strategy in ("crossfade", "rtc", "replace", "sync"):
        set_parameter(graph, "policy", "strategy", strategy)
        wait_until(lambda s=strategy: relay.status.strategy == s, strategy)
        played = relay.status.played
        wait_until(lambda n=played: relay.status.played > n + 4, f"chunks in {strategy}")
    seconds, *steps = np.abs(np.diff(np.array(relay.points), axis=0)).T
    if not (steps < 2.48 * seconds + 0.1).all():
        return "expected no step of the set points, but what a late tick makes of them"
    return relay.status.last_rejection if relay.status.rejected > rejected else ""


# Neither may end a motion here: on a busy machine joint states come late, and the policy or the
# commander stands still.
@pytest.mark.parametrize("graph", [{"max_state_age": 3.0, "watchdog_rows": 0}], indirect=True)
def test_strategies_are_switched_while_the_arm_moves(graph: Any, wait_until: Any) -> None:
    relay = graph.relay
    graph.policy.wait_for("ready after", 60)
    wait_until(lambda: relay.status is not None and relay.call("arm", data=True).success, "arming")
    wait_until(lambda: relay.status.armed and relay.status.mode == "playing", "motion")
    # a standstill makes a chunk too old, or has the arm begin again from where it is
    for _ in range(3):
        if not (wrong := switch(graph, wait_until)):
            break
    else:
        pytest.fail(wrong)
    set_parameter(graph, "commander", "recovery", "explicit")
    chunks: list[Any] = []
    relay.change["cosmos3/action_chunk"] = chunks.append  # and so they are lost
    wait_until(lambda: chunks and relay.status.mode == "holding", "a pause between two chunks")
    del relay.change["cosmos3/action_chunk"]
    played = relay.status.played
    wait_until(lambda: relay.status.played > played + 2, "chunks in sync")
    assert relay.status.armed, "waiting between two chunks is no fault"
    assert chunks[-1].horizon == 8
    set_parameter(graph, "policy", "strategy", "replace")
    wait_until(lambda: relay.status.strategy == "replace", "motion without pauses")
    relay.change["joint_states"] = lambda message: None
    wait_until(lambda: not relay.status.armed, "explicit recovery disarms")
    del relay.change["joint_states"]
    played = relay.status.played
    wait_until(lambda: relay.status.played > played + 2, "the dry run to go on")
    assert not relay.status.armed


def stop_in_mid_motion(sink: str, start: Any, watcher: Any, wait_until: Any) -> np.ndarray:
    """Steps of the first joint's set points of a streaming commander that gets a Ctrl-C."""
    from sensor_msgs.msg import JointState

    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.robot.robot_file import find_robot_file
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message
    from cosmos3_ros.sim.arm_constants import ARM, FINGER, HOME

    robot = ("--ros-args", "--params-file", find_robot_file("droid_sim"))
    sim = start("sim", *robot)
    patient = ("-p", "max_state_age:=5.0")  # the machine may stand still for a moment
    commander = start(
        "commander",
        *robot,
        *patient,
        "-p",
        f"sink:={sink}",
        "-p",
        "armed:=true",
        "-p",
        "rate:=100.0",
    )
    measured: list[Any] = []
    points: list[Any] = []
    watcher.create_subscription(JointState, "joint_states", measured.append, 5)
    stream = {"position_stream": topics.POSITIONS, "joint_command": topics.JOINT_COMMAND}[sink]
    field = "data" if sink == "position_stream" else "position"
    watcher.create_subscription(stream.type, stream.name, points.append, 50)
    chunks = watcher.create_publisher(topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, 5)
    values = np.tile(np.array([*HOME, 0.8], np.float32), (60, 1))
    values[:, 0] += np.linspace(0, 2.0, 60, dtype=np.float32)

    def turned(by: float) -> bool:
        if not measured or measured[-1].position[0] < 0.02:  # until the commander knows the arm
            chunk = ActionChunk(
                values, (*ARM, FINGER), watcher.get_clock().now().nanoseconds, NS // 15, (FINGER,)
            )
            chunks.publish(
                chunk_message(chunk, number=1, instruction="", embodiment="", seconds={})
            )
        return bool(measured) and measured[-1].position[0] > by

    wait_until(
        lambda: turned(0.3) and measured[-1].position[7] > 0.5,
        "the arm to turn, the gripper to close",
    )
    assert commander.interrupt() == 0
    wait_until(lambda: abs(measured[-1].velocity[0]) < 0.01, "rest")
    sim.kill()
    watcher.destroy_publisher(chunks)  # two policies at once would be one too many
    return np.diff([np.array(getattr(message, field))[0] for message in points])


@pytest.mark.parametrize("sink", ["position_stream", "joint_command"])
def test_the_arm_follows_a_stream_and_stops_smoothly(
    sink: str, start: Any, watcher: Any, wait_until: Any
) -> None:
    """No sudden stop: the last set points come closer and closer."""
    # braking takes eight ticks: of a machine that stands still meanwhile, too few are seen
    for _ in range(3):
        steps = stop_in_mid_motion(sink, start, watcher, wait_until)
        cruise = np.median(steps[steps > 0])
        slower = steps[np.flatnonzero(steps > 0.9 * cruise)[-1] + 1 :]
        if (slower > 0.1 * cruise).sum() >= 3 and slower[-1] < 0.1 * cruise:
            return
    pytest.fail(f"cruising by {cruise:.5f}, then by {slower.round(5).tolist()}")
