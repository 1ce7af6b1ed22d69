# SPDX-License-Identifier: Apache-2.0
"""An arm that something else moved while it held, on the real graph: it is no dead end."""

import threading
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]


def reset(graph: Any) -> None:
    """The next episode of the simulation: the arm jumps to its start pose."""
    from cosmos3_ros.srv import ResetTask

    client, done = graph.relay.node.create_client(ResetTask, "sim/reset_task"), threading.Event()
    assert client.wait_for_service(30)
    future = client.call_async(ResetTask.Request(seed=-1))
    future.add_done_callback(lambda _: done.set())
    assert done.wait(30)
    assert future.result().success, future.result().message


@pytest.mark.parametrize(
    "graph",
    [{"max_state_age": 3.0}, {"max_state_age": 3.0, "sink": "position_stream"}],
    ids=["joint_trajectory", "position_stream"],
    indirect=True,
)
def test_after_a_reset_far_from_its_set_point_the_next_instruction_is_played(
    graph: Any, wait_until: Any, request: pytest.FixtureRequest
) -> None:
    relay = graph.relay
    graph.policy.wait_for("ready after", 60)
    wait_until(lambda: relay.status is not None and relay.call("arm", data=True).success, "arming")
    relay.say("aside")
    wait_until(lambda: relay.points and relay.points[-1][1] > 0.8, "an arm far aside", 30)
    relay.say("")
    wait_until(lambda: relay.status.mode == "holding" and relay.speed < 1e-6, "rest", 20)
    played, after = relay.status.played, len(relay.points)
    reset(graph)
    relay.say("aside")
    wait_until(lambda: relay.status.played > played + 2, "motion after the reset", 20)
    assert relay.status.armed
    if "joint_trajectory" in request.node.name:  # a stream leads the arm back at once
        assert min(point[1] for point in relay.points[after:]) < 0.4, "from the start pose"
