# SPDX-License-Identifier: Apache-2.0
"""What a streamed arm is sent when the commander is armed, stopped, armed again, or stalls.

The real node, one joint, an arm that is where it was last sent, and a clock that goes on by hand.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

NS = 10**9
PERIOD = NS // 50
SPEED = 2.0  # limit, rad/s
LIMITS = {
    "lower": [-3.0],
    "upper": [3.0],
    "velocity": [SPEED],
    "acceleration": [5.0],
    "jerk": [50.0],
}
MOST = 1.05 * SPEED * PERIOD / NS  # rad between two set points


class Arm:
    """The commander and what its sink was told: rows of time (s), position and velocity."""

    def __init__(self, **parameters: Any) -> None:
        from rclpy.parameter import Parameter

        from cosmos3_ros.nodes.commander_node import CommanderNode

        class Stepped(CommanderNode):
            time = 1000 * NS

            def now(self) -> int:
                return self.time

        values = {
            "joints": ["a"],
            "sink": "position_stream",
            "recovery": "automatic",
            **LIMITS,
            **parameters,
        }
        self.node = Stepped(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.where, self.number, self.sent = 0.0, 0, list[tuple[float, float, float]]()
        self.put: float | None = None  # somebody holds the arm there
        self.node.trigger_configure()
        self._listen()
        self.node.trigger_activate()
        self.measure()

    def _listen(self) -> None:
        def point(position: Any, velocity: Any, gripper: Any, now: int) -> None:
            self.sent.append((now / NS, float(position[0]), float(velocity[0])))

        self.node._sink.point = point
        self.node._check_graph = lambda: None
        self.node._listener_fault = ""

    def again(self) -> None:
        """Deactivate, clean up, and come back."""
        self.node.trigger_deactivate()
        self.node.trigger_cleanup()
        self.node.trigger_configure()
        self._listen()
        self.node.trigger_activate()

    def measure(self) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header

        self.where = (
            self.put if self.put is not None else self.sent[-1][1] if self.sent else self.where
        )
        self.node._on_joint_state(
            JointState(header=header(self.node.time), name=["a"], position=[self.where])
        )

    def run(self, seconds: float, measured: bool = True) -> None:
        for _ in range(round(seconds * NS / PERIOD)):
            self.node.time += PERIOD
            if measured:
                self.measure()
            self.node._tick()

    def chunk(self, speed: float, strategy: str = "replace") -> None:
        """A chunk of 2 s seen one period ago, that leads away from where the arm is."""
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        stamp, step, self.number = self.node.time + 1, NS // 15, self.number + 1
        rows = (self.where + speed * np.arange(1, 31, dtype=np.float32) / 15)[:, None]
        self.run(PERIOD / NS)
        chunk = ActionChunk(rows, ("a",), stamp, step)
        message = chunk_message(
            chunk, number=self.number, instruction="", embodiment="", seconds={}
        )
        message.strategy = strategy
        self.node._on_chunk(message)

    def ask(self, wanted: bool) -> str:
        from std_srvs.srv import SetBool

        return str(self.node._on_arm(SetBool.Request(data=wanted), SetBool.Response()).message)

    def steps(self) -> np.ndarray:
        """What the sink was told, one after another: differences of time (s) and position (rad)."""
        return np.diff(np.array([[0.0, 0.0], *[row[:2] for row in self.sent]]), axis=0)[1:]


@pytest.fixture
def make(domain: int) -> Iterator[Callable[..., Arm]]:
    import rclpy

    arms = []

    def function(**parameters: Any) -> Arm:
        arms.append(Arm(**parameters))
        return arms[-1]

    rclpy.init(args=[])
    yield function
    for arm in arms:
        arm.node.destroy_node()
    rclpy.shutdown()


def test_armed_in_a_dry_run_the_arm_begins_where_it_is(make: Any) -> None:
    arm = make()
    arm.chunk(1.5)
    arm.run(0.3)
    assert not arm.sent
    assert arm.node._player.motion.at(arm.node.time)[0] > 0.05, "the dry run is somewhere else"
    assert arm.ask(True) == "armed"
    arm.run(0.1)
    arm.chunk(0.3)
    arm.run(0.5)
    assert abs(arm.sent[0][1]) < MOST
    assert np.abs(arm.steps()[:, 1]).max() < MOST
    assert arm.sent[-1][1] > 0.05


@pytest.mark.parametrize("stop", ["service", "topic", "disarmed"])
def test_stopped_it_brakes_to_the_end_while_chunks_go_on(make: Any, stop: str) -> None:
    from std_msgs.msg import Bool
    from std_srvs.srv import Trigger

    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.8)
    assert arm.sent[-1][2] > 1.0
    if stop == "service":
        arm.node._on_stop(Trigger.Request(), Trigger.Response())
    elif stop == "topic":
        arm.node._on_stop_topic(Bool(data=True))
    else:
        arm.ask(False)
    rest = arm.node._player.motion.at(arm.node._braked_at)[0][0]
    for _ in range(8):
        arm.chunk(0.5)
        arm.run(0.1)
    assert arm.sent[-1][1:] == pytest.approx((rest, 0.0), abs=0.01)
    assert np.abs(arm.steps()[:, 1]).max() < MOST
    assert arm.steps()[:, 0].max() < 1.5 * PERIOD / NS
    assert arm.node._player.mode == "playing", "a dry run goes on"


@pytest.mark.parametrize("braking", [False, True])
def test_armed_again_in_motion_nothing_is_cut_off(make: Any, braking: bool) -> None:
    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.8)
    if braking:
        arm.ask(False)
        arm.run(0.1)
    assert arm.ask(True) == "armed"
    arm.run(0.2)
    arm.chunk(0.5)
    arm.run(0.5)
    assert np.abs(arm.steps()[:, 1]).max() < MOST
    assert arm.steps()[:, 0].max() < 1.5 * PERIOD / NS
    assert arm.node._player.mode == "playing"


def test_a_latched_stop_outlives_every_transition(make: Any) -> None:
    from std_msgs.msg import Bool

    arm = make(armed=True)
    arm.node._on_stop_topic(Bool(data=True))
    assert arm.ask(True) == "not armed: stopped by cosmos3/stop"
    arm.node.trigger_deactivate()
    arm.node.trigger_activate()
    arm.measure()
    assert arm.ask(True) == "not armed: stopped by cosmos3/stop"
    arm.again()
    arm.measure()
    assert arm.ask(True) == "not armed: stopped by cosmos3/stop"
    arm.chunk(1.0)
    arm.run(0.5)
    assert not arm.sent
    arm.node._on_stop_topic(Bool(data=False))
    arm.measure()
    assert arm.ask(True) == "armed"


def test_after_a_stall_the_stream_goes_on_where_it_stopped(make: Any) -> None:
    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.5)
    arm.node.time += NS // 5
    arm.run(1.0)
    assert np.abs(arm.steps()[:, 1]).max() < 2 * MOST
    assert np.abs(arm.steps()[:, 0]).max() > 0.2


def test_reactivated_it_begins_where_it_is(make: Any) -> None:
    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.5)
    # takes its time; the arm is somewhere else afterwards anyhow
    arm.node._finish_braking = lambda: None
    arm.node.trigger_deactivate()
    arm.sent.clear()
    arm.where, arm.node.time = 0.05, arm.node.time + 60 * NS
    arm.node.trigger_activate()
    arm.measure()
    arm.chunk(0.5)
    arm.run(0.3)
    assert arm.sent[0][1] == pytest.approx(0.05, abs=MOST)
    assert np.abs(arm.steps()[:, 1]).max() < MOST


@pytest.mark.parametrize("recovery", ["automatic", "explicit"])
def test_a_fault_between_two_chunks_disarms_where_that_is_asked_for(
    make: Any, recovery: str
) -> None:
    arm = make(armed=True, recovery=recovery)
    arm.chunk(0.3, "sync")
    arm.run(2.5)
    assert (arm.node._player.mode, arm.node._armed) == ("holding", True)
    arm.run(1.0, measured=False)
    arm.run(0.1)
    before = len(arm.sent)
    arm.chunk(0.3, "sync")
    arm.run(0.5)
    assert arm.node._armed == (recovery == "automatic")
    assert (len(arm.sent) > before) == (recovery == "automatic")


def test_an_arm_that_was_put_elsewhere_in_mid_brake_is_armed_when_that_is_over(
    make: Callable[..., Arm],
) -> None:
    """As a reset simulation does: armed while still led to the old place, it never got there."""
    arm = make(armed=True)
    arm.run(0.1)
    arm.chunk(1.5)
    arm.run(0.5)
    arm.ask(False)
    arm.put = arm.where - 1.0
    arm.run(0.04)
    assert "from its set point, limit" in arm.ask(True)
    arm.run(3.0)
    assert arm.ask(True) == "armed"
    arm.sent.clear()
    arm.chunk(0.5)
    arm.run(0.3)
    assert abs(arm.sent[0][1] - arm.put) < 0.05
