# SPDX-License-Identifier: Apache-2.0
"""A mobile base beside an arm: what it is told in play, at every fault, and in silence.

The real commander with an arm of one joint that stands, and a clock that goes on by hand.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

NS = 10**9
PERIOD = NS // 50
BASE = ("base_x", "", "base_yaw")
LIMITS = {"mobile_base_velocity": [0.5, 0.0, 1.0], "mobile_base_acceleration": [1.0, 0.0, 2.0]}
ARM = {"lower": [-3.0], "upper": [3.0], "velocity": [1.0], "acceleration": [5.0], "jerk": [50.0]}


class Robot:
    """The commander, and the twists that its base was told: time (s), forward, turning."""

    def __init__(self, **parameters: Any) -> None:
        from rclpy.parameter import Parameter

        from cosmos3_ros.nodes.commander_node import CommanderNode

        class Stepped(CommanderNode):
            time = 1000 * NS

            def now(self) -> int:
                return self.time

            def steady(self) -> int:
                return self.time

        values: dict[str, Any] = {
            "joints": ["a"], "sink": "position_stream", "mobile_base": [*BASE],
            "mobile_base_output": "twist_stamped", **LIMITS, **ARM, **parameters,
        }  # fmt: skip
        self.node = Stepped(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.number, self.told = 0, list[tuple[float, float, float]]()
        self.messages: list[Any] = []
        self.node.trigger_configure()
        assert self.node.failure == ""
        self.node._base.output.publish = self.hear
        self.node._check_graph = lambda: None
        self.node._listener_fault = ""
        self.node.trigger_activate()
        self.measure()

    def hear(self, message: Any) -> None:
        twist = getattr(message, "twist", message)
        self.messages.append(message)
        self.told.append((self.node.time / NS, twist.linear.x, twist.angular.z))

    def measure(self) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header

        stamp = header(self.node.time)
        self.node._on_joint_state(JointState(header=stamp, name=["a"], position=[0.1]))

    def infer(
        self, forward: float = 0.4, turn: float = 0.0, rows: int = 20, arm: float = 0.1
    ) -> None:
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        self.number += 1
        values = np.tile([0.1, forward, turn], (rows, 1)).astype(np.float32)
        values[:, 0] = np.linspace(0.1, arm, rows)
        chunk = ActionChunk(values, ("a", "base_x", "base_yaw"), self.node.time, NS // 10)
        words: Any = {"number": self.number, "instruction": "go", "embodiment": "", "seconds": {}}
        self.node._on_chunk(chunk_message(chunk, **words))

    def run(self, seconds: float, measured: bool = True) -> None:
        for _ in range(round(seconds * NS / PERIOD)):
            self.node.time += PERIOD
            if measured:
                self.measure()
            self.node._tick()

    def arm(self, armed: bool = True) -> Any:
        from std_srvs.srv import SetBool

        return self.node._on_arm(SetBool.Request(data=armed), SetBool.Response())

    @property
    def forward(self) -> float:
        return self.told[-1][1]


@pytest.fixture
def make(domain: int) -> Iterator[Callable[..., Robot]]:
    import rclpy

    rclpy.init(args=[])
    made: list[Robot] = []

    def one(**parameters: Any) -> Robot:
        made.append(Robot(**parameters))
        return made[-1]

    yield one
    for robot in made:
        robot.node.destroy_node()
    rclpy.shutdown()


def drive(robot: Robot) -> None:
    """Armed, and as fast as the chunk says."""
    assert robot.arm().success
    robot.run(0.1)
    robot.infer()
    robot.run(1.0)
    assert robot.forward == pytest.approx(0.4)


def stop_button(robot: Robot) -> None:
    from std_msgs.msg import Bool

    robot.node._on_stop_topic(Bool(data=True))


def stop_service(robot: Robot) -> None:
    from std_srvs.srv import Trigger

    robot.node._on_stop(Trigger.Request(), Trigger.Response())


@dataclasses.dataclass
class Fault:
    """harm: what goes wrong; after: how late the base may begin to brake, s."""

    harm: Callable[[Robot], Any]
    after: float = 0.03
    measured: bool = True


FAULTS = {
    "disarmed": Fault(lambda robot: robot.arm(False)),
    "stop topic": Fault(stop_button),
    "stop service": Fault(stop_service),
    "no newer chunk": Fault(lambda robot: None, after=1.1),
    "no joint states": Fault(lambda robot: None, after=0.3, measured=False),
    "two policies": Fault(lambda robot: setattr(robot.node, "_publisher_fault", "2 nodes publish")),
    "no base listens": Fault(lambda robot: setattr(robot.node, "_listener_fault", "nobody")),
    "a task ended": Fault(lambda robot: robot.node._hold("the task is over")),
    "the clock jumped back": Fault(
        lambda robot: (setattr(robot.node, "time", robot.node.time - 5 * NS), robot.measure())
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_brings_the_base_to_a_stop_within_its_limits(
    make: Callable[..., Robot], name: str
) -> None:
    robot, fault = make(), FAULTS[name]
    drive(robot)
    fault.harm(robot)
    count, begin = len(robot.told), robot.node.time / NS
    robot.run(fault.after + 0.6, fault.measured)
    speeds = [0.4, *(forward for _, forward, _ in robot.told[count:])]
    slowing = [at for at, forward, _ in robot.told[count:] if forward < 0.4 - 1e-6]
    assert slowing[0] - begin <= fault.after + 0.05
    assert speeds[-1] == 0.0
    if name != "the clock jumped back":  # there is no telling how long ago the last one was
        assert np.diff(speeds).min() >= -1.0 / 50 - 1e-6
    assert robot.node._player.mode == "holding"


def test_an_armed_base_is_told_zero_and_a_disarmed_one_nothing_after_that(
    make: Callable[..., Robot],
) -> None:
    robot = make()
    robot.infer()
    robot.run(0.5)  # a dry run
    assert robot.told == []
    drive(robot)
    robot.run(3.0)  # no newer chunk
    count = len(robot.told)
    robot.run(0.2)
    assert [told[1] for told in robot.told[count:]] == [0.0] * 10
    robot.arm(False)
    robot.run(0.1)
    count = len(robot.told)
    robot.run(0.5)
    assert len(robot.told) == count


def test_limits_hold_and_curves_keep_their_radius(make: Callable[..., Robot]) -> None:
    robot = make()
    assert robot.arm().success
    robot.run(0.1)
    robot.infer(forward=2.0, turn=-2.0)
    robot.run(1.5)
    told = np.array(robot.told)
    assert told[-1, 1:] == pytest.approx([0.5, -0.5])
    assert np.abs(np.diff(told[:, 1])).max() <= 1.0 / 50 + 1e-6
    message = robot.messages[-1]
    assert (message.header.frame_id, message.twist.linear.y) == ("base_link", 0.0)


def test_a_base_waits_for_an_arm_that_is_slower_than_its_chunk(make: Callable[..., Robot]) -> None:
    """What the base is to cover while the arm moves stays the same."""
    robot = make(max_tracking_error=10.0, max_jump=10.0)
    assert robot.arm().success
    robot.run(0.1)
    robot.infer(arm=2.9, rows=20)  # 1.4 rad/s where 1.0 are allowed
    pace = robot.node._player.motion.pace
    assert pace < 0.8
    robot.run(1.0)
    assert robot.forward == pytest.approx(0.4 * pace, rel=1e-3)


def test_a_commander_that_ends_stops_its_base_first(make: Callable[..., Robot]) -> None:
    robot = make()
    drive(robot)
    robot.node.trigger_deactivate()
    assert robot.forward == 0.0


def test_a_plain_twist_goes_to_bases_that_take_one(make: Callable[..., Robot]) -> None:
    from geometry_msgs.msg import Twist

    robot = make(mobile_base_output="twist")
    drive(robot)
    assert isinstance(robot.messages[-1], Twist)


def test_a_chunk_without_the_bases_columns_is_refused(make: Callable[..., Robot]) -> None:
    robot = make(mobile_base=["x", "", "yaw"])
    robot.infer()
    assert "expected ['a', 'x', 'yaw']" in robot.node._player.last_rejection


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mobile_base_output": "none"}, "'mobile_base_output' is 'none': expected twist_stamped"),
        ({"mobile_base": ["x", "yaw"]}, "'mobile_base': expected three distinct columns"),
        ({"mobile_base": ["", "", ""]}, "'mobile_base': expected three distinct columns"),
        ({"mobile_base": ["a", "", "w"]}, "'mobile_base': 'a' is a joint, too"),
        (
            {"mobile_base_acceleration": [1.0, 0.0, 0.0]},
            "'mobile_base_acceleration': expected three numbers, positive for each of ['base_x', ",
        ),
        ({"mobile_base_velocity": []}, "'mobile_base_velocity': expected three numbers"),
    ],
)
def test_wrong_parameters_of_a_base_are_refused(change: dict[str, Any], words: str) -> None:
    from cosmos3_ros.ros.sinks.mobile_base import MobileBaseParams

    values = {"mobile_base_output": "twist", "mobile_base": [*BASE], **LIMITS, **change}
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (its words are compared below)
        MobileBaseParams(**values).check_mobile_base(["a"])
    assert words in str(refused.value)
