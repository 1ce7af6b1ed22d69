# SPDX-License-Identifier: Apache-2.0
"""Two arms with a controller and a gripper each: one motion for both, and one hold."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import Limits, follow, rest
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.robot.joint_map import joint_groups

pytestmark = pytest.mark.ros

JOINTS = ("left_a", "right_a", "left_b", "right_b")  # not even side by side
GROUPS = ("left", "right", "left", "right")
GRIPPERS = ("left_grip", "right_grip")
LIMITS = Limits(
    np.full(4, -2.0), np.full(4, 2.0), np.full(4, 2.0), np.full(4, 8.0), np.full(4, 200.0)
)
PERIOD = NS // 100


class Wire:
    """In place of a publisher: keeps what is sent."""

    def __init__(self, name: str, sent: dict[str, list[Any]]) -> None:
        self._kept = sent.setdefault(name, [])

    def publish(self, message: Any) -> None:
        self._kept.append(message)


def made(kind: str, away: Any = lambda: None) -> tuple[Any, dict[str, list[Any]]]:
    """The sinks of both arms, and what they send by topic."""
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.sinks.gripper_outputs import PositionTopic
    from cosmos3_ros.ros.sinks.grouped_sinks import Commanded, grouped_sinks

    sent: dict[str, list[Any]] = {}

    def advertise(group: Any) -> Any:
        return lambda topic: Wire(topic.of(group.name).name, sent)

    both = grouped_sinks(
        [(group, kind) for group in joint_groups(JOINTS, GROUPS, "", GRIPPERS)],
        JOINTS,
        Commanded(LIMITS, True, away),
        advertise,
        lambda group: lambda: PositionTopic(advertise(group)(topics.GRIPPER)),
    )
    return both, sent


def test_trajectories_of_both_arms_are_due_at_the_same_times() -> None:
    """Of arms with a short and a long way, and one that is not where it was led."""
    both, sent = made("joint_trajectory", lambda: (np.array([0.0, 0.0, 0.0, 0.3]), True))
    motion = rest(np.zeros(4), 0)
    for tick in range(60):
        now = tick * NS // 50
        if tick % 20 == 0:
            rows = motion.at(now)[0] + np.linspace(0, 1, 17)[1:, None] * [0.01, 0.5, 0.0, -0.2]
            chunk = ActionChunk(rows.astype(np.float32), JOINTS, now, NS // 15)
            motion = follow(chunk, motion, now, LIMITS)
            both.begin(motion, now)
        both.point(*motion.at(now), {}, now)
    left, right = (sent[f"{name}/arm_controller/joint_trajectory"] for name in ("left", "right"))
    assert len(left) == len(right) >= 2
    for one, other in zip(left, right, strict=True):
        assert one.header.stamp == other.header.stamp
        times = [[p.time_from_start for p in each.points] for each in (one, other)]
        assert times[0] == times[1]
    assert [[*each[-1].joint_names] for each in (left, right)] == [
        ["left_a", "left_b"],
        ["right_a", "right_b"],
    ]
    end = motion.points[-1]
    assert [[*each[-1].points[-1].positions] for each in (left, right)] == [
        pytest.approx(end[[0, 2]]),
        pytest.approx(end[[1, 3]]),
    ]


@pytest.mark.parametrize("kind", ["position_stream", "joint_command"])
def test_streams_carry_the_columns_and_the_gripper_of_their_arm(kind: str) -> None:
    both, sent = made(kind)
    both.point(np.arange(4.0), np.zeros(4), {"right_grip": 0.7}, 9)
    if kind == "position_stream":
        assert {name: [*messages[-1].data] for name, messages in sent.items() if messages} == {
            "left/arm_position_controller/commands": [0.0, 2.0],
            "right/arm_position_controller/commands": [1.0, 3.0],
            "right/gripper_controller/commands": [0.7],
        }
        return
    said = {name: (messages[-1].name, [*messages[-1].position]) for name, messages in sent.items()}
    assert said == {
        "left/joint_command": (["left_a", "left_b"], [0.0, 2.0]),
        "right/joint_command": (["right_a", "right_b", "right_grip"], [1.0, 3.0, 0.7]),
    }


class Robot:
    """Two emulated arms with their grippers on real topics; an arm that is stuck does not move."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.nodes.sim_messages import trajectory
        from cosmos3_ros.ros import topics
        from cosmos3_ros.sim.emulated_controllers import ArmController

        self.arms = {
            name: ArmController((f"{name}_a", f"{name}_b"), PERIOD) for name in ("left", "right")
        }
        self.at = {name: np.zeros(2) for name in self.arms}
        self.grips: dict[str, list[float]] = {name: [] for name in self.arms}
        self.trajectories: dict[str, list[Any]] = {name: [] for name in self.arms}
        self.stuck, self.heard = "", dict[tuple[str, str], Any]()
        self.states = node.create_publisher(JointState, "joint_states", 5)

        def follow(name: str) -> Any:
            def take(message: Any) -> None:
                self.trajectories[name].append(message)
                self.arms[name].follow(trajectory(message), time.time_ns())

            return take

        for name in self.arms:
            for topic, take in (
                (topics.TRAJECTORY, follow(name)),
                (topics.GRIPPER, lambda message, name=name: self.grips[name].extend(message.data)),
            ):
                heard = node.create_subscription(
                    topic.type, f"{name}/{topic.name}", take, topic.qos
                )
                self.heard[name, topic.name] = heard
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header
        from cosmos3_ros.sim.emulated_controllers import at_rest

        while not self.ended.wait(PERIOD / NS):
            now = time.time_ns()
            for name, arm in self.arms.items():
                point = arm.update(now, at_rest(self.at[name]))
                if name != self.stuck:
                    self.at[name] = point.copy()
            message = JointState(
                header=header(now), name=["left_a", "left_b", "right_a", "right_b"]
            )
            message.position = [*map(float, self.at["left"]), *map(float, self.at["right"])]
            self.states.publish(message)

    def close(self) -> None:
        self.ended.set()
        self.thread.join()


def test_two_arms_move_together_and_a_fault_of_one_holds_both(
    start: Any, watcher: Any, wait_until: Any
) -> None:
    """The commander's process between real topics, one controller and one gripper for each arm."""
    from cosmos3_ros.bringup.node_graph import yaml_value
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message

    reports: list[Any] = []
    status = topics.COMMANDER_STATUS
    watcher.create_subscription(status.type, status.name, reports.append, status.qos)
    chunks = watcher.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    settings = {
        "joints": [*JOINTS],
        "groups": [*GROUPS],
        "gripper_joints": [*GRIPPERS],
        "grippers_closed": [0.8, 1.0],
        "lower": [-2.0] * 4,
        "upper": [2.0] * 4,
        "velocity": [1.0] * 4,
        "acceleration": [8.0] * 4,
        "jerk": [200.0] * 4,
        "armed": True,
        "max_state_age": 2.0,  # the machine may stand still for a moment
    }
    words = [w for name, value in settings.items() for w in ("-p", f"{name}:={yaml_value(value)}")]
    robot = Robot(watcher)
    commander = start("commander", "--ros-args", *words)
    goal = np.array([0.4, -0.3, -0.2, 0.5])
    names = (*JOINTS, *GRIPPERS)
    numbers = iter(range(1, 1000))

    def send(rows: int = 30) -> None:
        here = np.array(
            [robot.at["left"][0], robot.at["right"][0], robot.at["left"][1], robot.at["right"][1]]
        )
        arm = here + np.linspace(0, 1, rows + 1)[1:, None] * (goal - here)
        grips = np.tile([0.8, 0.0], (rows, 1))  # the left one closes, the right one stays open
        values = np.concatenate([arm, grips], axis=1).astype(np.float32)
        chunk = ActionChunk(values, names, time.time_ns(), NS // 15, GRIPPERS)
        chunks.publish(
            chunk_message(chunk, number=next(numbers), instruction="", embodiment="", seconds={})
        )

    def is_playing() -> bool:
        if not (reports and reports[-1].mode == "playing"):
            send()
        return bool(reports) and reports[-1].mode == "playing"

    def arrived() -> bool:
        """Or on the way again, after a moment in which the machine stood still."""
        is_playing()
        ends = np.array([[goal[0], goal[2]], [goal[1], goal[3]]])
        return bool(np.abs(np.array([robot.at["left"], robot.at["right"]]) - ends).max() < 1e-3)

    try:
        commander.wait_for("armed: commands go to the controllers")
        wait_until(is_playing, "a chunk to be played")
        wait_until(arrived, "both arms to arrive")
        assert {*robot.grips["left"]} == {0.8}
        assert {*robot.grips["right"]} == {0.0}
        wait_until(lambda: reports[-1].mode == "holding", "the end of the chunk")
        sent = robot.trajectories.values()
        wait_until(lambda: len({len(each) for each in sent}) == 1, "the last one of both")
        for left, right in zip(*sent, strict=True):
            assert left.header.stamp == right.header.stamp
            assert [p.time_from_start for p in left.points] == [
                p.time_from_start for p in right.points
            ]
        goal, robot.stuck = -goal, "right"
        wait_until(is_playing, "a chunk to be played")
        wait_until(lambda: reports[-1].mode == "holding", "a hold")
        assert "right_" in reports[-1].reason
        assert "left_" not in reports[-1].reason
        wait_until(lambda: not np.ptp([point_of(robot) for _ in range(5)], axis=0).any(), "rest")
        assert np.abs(robot.at["left"] - [goal[0], goal[2]]).max() > 0.2, "on the way, not there"
        robot.stuck = ""
        wait_until(is_playing, "a chunk to be played")
        watcher.destroy_subscription(robot.heard["right", topics.TRAJECTORY.name])
        lost = "no controller listens on /right/arm_controller/joint_trajectory"
        wait_until(lambda: reports[-1].reason == lost, f"a hold because {lost}")
    finally:
        robot.close()


def point_of(robot: Robot) -> np.ndarray:
    """Where the left arm is, a moment later."""
    time.sleep(0.03)
    return robot.at["left"].copy()
