# SPDX-License-Identifier: Apache-2.0
"""What each sink sends, as the emulated controllers take it: the arm goes where the motion goes."""

from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import Limits, SplineMotion, follow, rest
from cosmos3_ros.model.interface import NS, ActionChunk

pytestmark = pytest.mark.ros

JOINTS = ("a", "b")
LIMITS = Limits(
    np.full(2, -2.0), np.full(2, 2.0), np.full(2, 2.0), np.full(2, 8.0), np.full(2, 200.0)
)
PERIOD = NS // 250


def motion_to(goal: float, motion: SplineMotion, now: int) -> SplineMotion:
    start = motion.at(now)[0]
    rows = start + np.linspace(0, 1, 17)[1:, None] * (goal - start)
    return follow(ActionChunk(rows.astype(np.float32), JOINTS, now, NS // 15), motion, now, LIMITS)


class Wire:
    """In place of a publisher: hands each message to the emulated controllers."""

    def __init__(self, topic: Any, robot: Any) -> None:
        self.topic, self.robot, self.sent, self.now = topic, robot, [], 0

    def publish(self, message: Any) -> None:
        from cosmos3_ros.nodes.sim_messages import trajectory
        from cosmos3_ros.ros import topics

        self.sent.append(message)
        if self.topic is topics.TRAJECTORY:
            self.robot.arm.follow(trajectory(message), self.now)
        elif self.topic is topics.POSITIONS:
            self.robot.arm.stream(message.data, self.now)
        elif self.topic is topics.GRIPPER:
            self.robot.grip(message.data)
        else:
            self.robot.command(message.name, message.position, self.now)


def made(kind: str, advertise: Any, stamped: bool = True, away: Any = lambda: None) -> Any:
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.sinks.command_sinks import SINKS, CommandedArm
    from cosmos3_ros.ros.sinks.gripper_outputs import PositionTopic

    def grip() -> PositionTopic:
        return PositionTopic(advertise(topics.GRIPPER))

    return SINKS[kind](advertise, CommandedArm(JOINTS, "grip", grip, LIMITS, stamped, away))


@pytest.mark.parametrize(
    ("kind", "stamped", "within"),
    [
        ("joint_trajectory", True, 2e-3),
        ("joint_trajectory", False, 8e-3),
        ("position_stream", True, 1e-9),
        ("joint_command", True, 1e-9),
    ],
)
def test_the_controller_follows_two_chunks_across_their_seam(
    kind: str, stamped: bool, within: float
) -> None:
    """A trajectory controller gives the end of its period, and is led to the arm first."""
    from cosmos3_ros.sim.emulated_controllers import ArmController, Robot, State

    robot = Robot(ArmController(JOINTS, PERIOD), "grip")
    wires: list[Wire] = []
    sink = made(kind, lambda topic: wires.append(Wire(topic, robot)) or wires[-1], stamped)
    motion, line, wanted = rest(np.zeros(2), 0), [], []
    ahead = 0 if sink.streams else PERIOD
    for tick in range(1100):
        now = tick * PERIOD
        for wire in wires:
            wire.now = now
        if tick in (300, 500):
            motion = motion_to(0.5 if tick == 300 else -0.2, motion, now)
        if tick in (0, 300, 500):
            sink.begin(motion, now)
        sink.point(*motion.at(now), 0.8 if tick > 600 else 0.0, now)
        arm, finger = robot.update(now, State(np.zeros(2), np.zeros(2)))
        line.append(arm.copy())
        wanted.append(motion.at(now + ahead)[0])
    assert np.abs(np.array(line) - wanted)[450:].max() < within
    assert np.allclose(line[-1], -0.2, atol=1e-6)
    assert finger == 0.8
    assert np.abs(np.diff(line, axis=0)).max() <= 2.0 * PERIOD / NS * 1.3


def test_a_motion_of_an_arm_that_may_be_away_is_bridged_to() -> None:
    from cosmos3_ros.ros.messages import to_ns

    sent: list[Any] = []

    class Output:
        def __init__(self, topic: Any) -> None:
            self.publish = sent.append if topic.type.__name__ == "JointTrajectory" else id

    where: list[Any] = [None]
    sink = made("joint_trajectory", Output, away=lambda: where[0])
    sink.begin(rest(np.zeros(2), 0), 0)
    assert sink.is_bridging(NS // 2), "nobody knows where its set point was"
    assert not sink.is_bridging(2 * NS)
    assert sink.path(-1) is None, "the clock was set back"
    motion, now = motion_to(0.5, rest(np.zeros(2), 2 * NS), 2 * NS), 3 * NS
    sink.begin(motion, 2 * NS)
    assert to_ns(sent[1].header.stamp) < 2 * NS
    assert np.allclose(sink.path(now).at(now)[0], motion.at(now)[0])
    where[0] = (np.zeros(2), True)
    motion = motion_to(1.0, motion, now)
    sink.begin(motion, now)
    assert to_ns(sent[2].header.stamp) == now
    assert to_ns(sent[2].points[0].time_from_start) > NS // 5
    where[0] = None
    late = 5 * NS
    sink.begin(motion_to(0.0, motion, late), late)
    assert to_ns(sent[3].header.stamp) < late


def test_the_gripper_is_sent_on_change_and_with_each_motion() -> None:
    class Heard(list):
        publish = list.append

    heard: list[Heard] = []
    sink = made("joint_trajectory", lambda topic: heard.append(Heard()) or heard[-1])
    still = rest(np.zeros(2), 0)
    for position in (None, 0.0, 0.0, 0.8, 0.8):
        sink.point(*still.at(0), position, 0)
    assert [list(message.data) for message in heard[1]] == [[0.0], [0.8]]
    sink.begin(still, 0)
    sink.point(*still.at(0), 0.8, 0)
    assert [list(message.data) for message in heard[1]] == [[0.0], [0.8], [0.8]]
