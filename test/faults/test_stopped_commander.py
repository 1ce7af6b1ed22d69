# SPDX-License-Identifier: Apache-2.0
"""The commander's process stands still for a while, or dies: the arm stays within its limits.

The real graph with the emulated trajectory controller. What is looked at is the simulated arm.
"""

import itertools
import os
import signal
import time
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]

REST = 0.02  # rad/s: slower is at rest
SPAN = 4  # joint states over which speed is taken: 67 ms


class Arm:
    """The measured joints of the simulated arm."""

    def __init__(self, node: Any, joints: list[str]) -> None:
        from sensor_msgs.msg import JointState

        self.rows: list[tuple[float, np.ndarray]] = []
        self.joints = joints
        node.create_subscription(JointState, "sim/joint_states", self.hear, 50)

    def hear(self, message: Any) -> None:
        known = dict(zip(message.name, message.position, strict=True))
        stamp = message.header.stamp
        row = np.array([known[joint] for joint in self.joints])
        self.rows.append((stamp.sec + stamp.nanosec * 1e-9, row))

    def speeds(self, since: float) -> tuple[np.ndarray, np.ndarray]:
        """Times (s) since a moment, and speeds then [T, N], rad/s."""
        rows = [row for row in self.rows if row[0] >= since]
        at, where = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
        return at[SPAN:], (where[SPAN:] - where[:-SPAN]) / (at[SPAN:] - at[:-SPAN])[:, None]


@pytest.fixture
def moving(graph: Any, watcher: Any, wait_until: Any) -> tuple[Any, Arm, np.ndarray]:
    """The graph with its arm in motion, the arm, and the speed limits [N]."""
    import yaml

    from cosmos3_ros.robot.robot_file import find_robot_file

    with open(find_robot_file("droid_sim")) as file:
        robot = yaml.safe_load(file)["/**/commander"]["ros__parameters"]
    arm, relay = Arm(watcher, robot["joints"]), graph.relay
    graph.policy.wait_for("ready after", 60)
    wait_until(lambda: relay.status is not None and relay.call("arm", data=True).success, "arming")
    wait_until(lambda: relay.status.played >= 3 and relay.speed > 0.05, "motion", 30)
    return graph, arm, np.array(robot["velocity"])


def moves(arm: Arm) -> bool:
    return len(arm.rows) > 20 and np.abs(arm.speeds(arm.rows[-10][0])[1]).max(initial=0.0) > 0.05


@pytest.mark.parametrize("graph", [{"watchdog_rows": 12, "recovery": "automatic"}], indirect=True)
def test_an_arm_whose_commander_stood_still_is_led_on_within_its_limits(
    moving: tuple[Any, Arm, np.ndarray], wait_until: Any
) -> None:
    graph, arm, limits = moving
    for seconds in (0.1, 0.5, 1.5, 3.0):
        wait_until(lambda: moves(arm), "motion")
        played, begin = graph.relay.status.played, time.time()
        os.kill(graph.commander.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(graph.commander.process.pid, signal.SIGCONT)
        wait_until(lambda p=played: graph.relay.status.played > p + 2, "more chunks", 30)
        time.sleep(0.5)
        _, speeds = arm.speeds(begin)
        assert (np.abs(speeds) <= 1.1 * limits).all(), (seconds, np.abs(speeds).max(axis=0))


def test_an_arm_whose_commander_was_killed_comes_to_rest_within_its_limits(
    moving: tuple[Any, Arm, np.ndarray], wait_until: Any
) -> None:
    graph, arm, limits = moving
    wait_until(lambda: moves(arm), "motion")
    killed, lasts = time.time(), graph.relay.status.remaining
    graph.commander.process.kill()
    time.sleep(lasts + 1.5)
    at, speeds = arm.speeds(killed)
    assert (np.abs(speeds) <= 1.1 * limits).all(), np.abs(speeds).max(axis=0)
    last = np.abs(speeds[at > at[-1] - 0.3]).max(axis=1)
    assert last.max() < REST
    still = [row for _, row in itertools.islice(reversed(arm.rows), 10)]
    assert np.ptp(still, axis=0).max() < REST / 10
