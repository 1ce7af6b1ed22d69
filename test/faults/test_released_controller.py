# SPDX-License-Identifier: Apache-2.0
"""A controller that was away and comes back: the arm's set points stay within its limits.

The real commander node with a stepped clock, its messages, and the emulated controllers. An
emergency stop and its release, a hardware error and a recovery, another controller for a moment
look like that.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

NS = 10**9
TICK, CYCLE = NS // 50, NS // 200  # of the commander, of the controller
LAG = 6  # cycles that the arm is behind its controller: 30 ms
SPEED, ACCELERATION = 1.9, 5.0  # limits, rad/s and rad/s^2
LIMITS = {
    "lower": [-9.0],
    "upper": [9.0],
    "velocity": [SPEED],
    "acceleration": [ACCELERATION],
    "jerk": [150.0],
}
# of an arm that is 30 ms behind its set points
STREAM = {"tracking_lag": 0.06, "max_tracking_error": 0.03}


class Cell:
    """A commander, the controller that listens to it, an arm, and a policy at a steady speed."""

    def __init__(
        self, sink: str, recovery: str, from_command: bool = False, **parameters: Any
    ) -> None:
        from rclpy.parameter import Parameter

        from cosmos3_ros.nodes.commander_node import CommanderNode
        from cosmos3_ros.sim.emulated_controllers import ArmController

        class Stepped(CommanderNode):
            time = 1000 * NS

            def now(self) -> int:
                return self.time

        values = {"joints": ["a"], "sink": sink, "recovery": recovery, **LIMITS, **parameters}
        self.node: Any = Stepped(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.controller = ArmController(("a",), CYCLE, from_command=from_command)
        self.controller.hold(np.zeros(1), self.node.time)
        self.where, self.way, self.number = 0.0, [0.0] * LAG, 0  # the arm, what it does next
        self.beside = 0.0  # how far from there it is measured
        self.held = False  # the arm stays where it is
        self.points: list[tuple[int, float]] = []  # set points of the active controller
        self.refused: list[str] = []
        self.reasons: set[str] = set()  # why the arm was held
        self.node.trigger_configure()
        self.node._check_graph = lambda: None
        self.node._listener_fault = ""
        self.node.trigger_activate()
        self.node._sink.sinks[0].output.publish = self.hear

    def hear(self, message: Any) -> None:
        from cosmos3_ros.nodes.sim_messages import trajectory

        now = self.node.time
        try:
            if hasattr(message, "points"):
                self.controller.follow(trajectory(message), now)
            else:
                self.controller.stream(getattr(message, "data", None) or message.position, now)
        except ValueError as error:
            self.refused.append(str(error))

    @property
    def measured(self) -> Any:
        from cosmos3_ros.sim.emulated_controllers import at_rest

        return at_rest(np.array([self.where]))

    def switch(self, active: bool) -> None:
        if active:
            self.controller.activate(self.node.time, self.measured)
        else:
            self.controller.deactivate()
            self.way = [self.where] * LAG

    def run(self, seconds: float, speed: float = 0.0, arms: bool = False) -> None:
        """speed: that the policy leads the arm at, with a chunk each 0.5 s that is 0.2 s late."""
        from sensor_msgs.msg import JointState
        from std_srvs.srv import SetBool

        from cosmos3_ros.ros.messages import header

        for k in range(round(seconds * NS / CYCLE)):
            now = self.node.time
            if now % TICK == 0:
                self.node._on_joint_state(
                    JointState(header=header(now), name=["a"], position=[self.where + self.beside])
                )
                self.node._tick()
                self.reasons.add(self.node._player.reason)
                if speed and k % 100 == 40:
                    self.chunk(speed)
                if arms and k % 40 == 20 and not self.node._armed:
                    self.node._on_arm(SetBool.Request(data=True), SetBool.Response())
            point = float(self.controller.update(now, self.measured)[0])
            if self.controller.active:
                self.points.append((now, point))
                self.way.append(point)
                self.where = self.where if self.held else self.way.pop(0)
            self.node.time = now + CYCLE

    def chunk(self, speed: float, count: int = 30, late: int = 0, **change: Any) -> None:
        """A chunk of `count` rows that is 0.2 s late, and `late` (ns) more; change: its fields."""
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        self.number += 1
        rows = np.float32(self.where + speed * np.arange(1, count + 1) / 15)[:, None]
        stamp = self.node.time - NS // 5 - late
        chunk = ActionChunk(rows - np.float32(speed / 5), ("a",), stamp, NS // 15)
        message = chunk_message(
            chunk, number=self.number, instruction="", embodiment="", seconds={}
        )
        for name, value in change.items():
            setattr(message, name, value)
        self.node._on_chunk(message)

    def steepest(self, begin: int) -> tuple[float, float]:
        """The largest speed and acceleration of set points from `begin` (ns) on, over 25 ms."""
        found = np.array([row for row in self.points if row[0] >= begin])
        span = 5
        speed = np.diff(found[::1, 1]) / (CYCLE / NS)
        smooth = np.convolve(speed, np.ones(span) / span, "valid")
        acceleration = (smooth[span:] - smooth[:-span]) / (span * CYCLE / NS)
        return float(np.abs(speed).max()), float(np.abs(acceleration).max())


@pytest.fixture
def make(domain: int) -> Iterator[Callable[..., Cell]]:
    import rclpy

    cells = []

    def function(*args: Any, **parameters: Any) -> Cell:
        cells.append(Cell(*args, **parameters))
        return cells[-1]

    rclpy.init(args=[])
    yield function
    for cell in cells:
        cell.node.destroy_node()
    rclpy.shutdown()


@pytest.mark.parametrize("recovery", ["automatic", "explicit"])
@pytest.mark.parametrize("away", [0.1, 0.3, 0.7, 3.0, 10.0])
@pytest.mark.parametrize("speed", [0.1, 0.6])
@pytest.mark.parametrize(("stamps", "from_command"), [(True, False), (False, False), (True, True)])
def test_a_trajectory_controller_that_comes_back_is_led_within_the_limits(
    make: Callable[..., Cell],
    recovery: str,
    away: float,
    speed: float,
    stamps: bool,
    from_command: bool,
) -> None:
    """from_command: it begins at its last set point again, as is the default in Jazzy."""
    more = {"armed": True, "trajectory_stamps": stamps}
    cell = make("joint_trajectory", recovery, from_command, **more)
    cell.run(2.0, speed, arms=True)
    assert cell.where > 0.5 * speed
    cell.switch(active=False)
    cell.run(away, speed)
    cell.points.clear()
    cell.switch(active=True)
    back = cell.node.time
    cell.run(3.0, speed, arms=True)
    fastest, strongest = cell.steepest(back)
    assert fastest < 1.1 * SPEED
    assert strongest < 1.5 * ACCELERATION
    assert not cell.refused
    assert cell.node._player.mode == "playing", "it goes on"
    if away >= 3.0:
        assert any(reason.startswith("the arm does not follow") for reason in cell.reasons)


@pytest.mark.parametrize("sink", ["position_stream", "joint_command"])
@pytest.mark.parametrize("recovery", ["automatic", "explicit"])
@pytest.mark.parametrize("away", [0.1, 0.7, 3.0])
@pytest.mark.parametrize("speed", [0.1, 0.6])
def test_a_stream_is_never_further_from_the_arm_than_its_parameters_say(
    make: Callable[..., Cell], sink: str, recovery: str, away: float, speed: float
) -> None:
    """A controller of set points jumps to the newest one when it comes back, whatever it is."""
    cell = make(sink, recovery, armed=True, **STREAM)
    cell.run(2.0, speed, arms=True)
    assert cell.where > 0.5 * speed
    cell.switch(active=False)
    cell.run(away, speed)
    cell.points.clear()
    held = cell.where
    cell.switch(active=True)
    cell.run(3.0, speed, arms=True)
    found = np.array([held, *(point for _, point in cell.points)])
    late = STREAM["tracking_lag"] + 2 * TICK / NS
    assert np.abs(np.diff(found)).max() < STREAM["max_tracking_error"] + speed * late
    assert cell.node._player.mode == "playing", "it goes on"
    if away >= 3.0:
        assert any(reason.startswith("the arm does not follow") for reason in cell.reasons)


def bridged(make: Callable[..., Cell], chunks: int) -> Cell:
    """Chunks that come while the controller is led to where the arm stands, once it is armed."""
    cell = make("joint_trajectory", "automatic", armed=True)
    node = cell.node
    while not node._supervisor.is_bridging(node.time):
        cell.run(0.02)
    cell.run(0.05)
    for _ in range(chunks):
        node.time += NS // 200
        node._armed_at = node.time - NS  # else they answer what was seen before
        cell.chunk(0.2)
    return cell


def test_the_newest_chunk_waits_until_the_controller_is_led_onto_the_motion(
    make: Callable[..., Cell],
) -> None:
    cell = bridged(make, chunks=2)
    node = cell.node
    player = node._player
    assert (player.mode, player.played) == ("holding", 0)
    assert (player.superseded, player.last_rejection) == (1, "")
    while node._supervisor.is_bridging(node.time):
        assert player.played == 0
        cell.run(0.02)
    cell.run(0.1)
    assert (player.mode, player.played, player.superseded, player.rejected) == ("playing", 1, 1, 0)
    assert player.loaded.number == 2
    assert node._record.lost == 0
    assert not cell.refused


def test_a_chunk_that_comes_before_the_controller_is_led_anywhere_waits_too(
    make: Callable[..., Cell],
) -> None:
    """Armed and not sent anything yet: the next control period leads the controller to the arm."""
    from std_srvs.srv import SetBool

    cell = make("joint_trajectory", "automatic")
    node = cell.node
    player = node._player
    cell.run(0.5)
    assert node._on_arm(SetBool.Request(data=True), SetBool.Response()).success
    node._armed_at = node.time - NS  # else it answers what was seen before
    cell.chunk(0.2)
    assert (player.mode, player.played, player.rejected) == ("waiting", 0, 0)
    cell.run(0.04)
    assert player.played == 0
    assert node._supervisor.is_sending
    cell.run(2.0)
    assert (player.played, player.rejected, player.superseded) == (1, 0, 0)
    assert not cell.refused


def test_why_a_chunk_is_refused_is_said_while_another_waits(make: Callable[..., Cell]) -> None:
    cell = bridged(make, chunks=1)
    node = cell.node
    player = node._player
    node._publisher_fault = "2 nodes publish chunks"
    cell.chunk(0.2)
    assert (player.rejected, player.last_rejection) == (1, "chunk 2: 2 nodes publish chunks")
    node._publisher_fault = ""
    cell.run(2.0)
    assert (player.played, player.rejected, player.superseded) == (1, 1, 0)
    assert not cell.refused


def test_what_cannot_be_played_does_not_take_the_place_of_a_chunk_that_waits(
    make: Callable[..., Cell],
) -> None:
    cell = bridged(make, chunks=1)
    node = cell.node
    player, waits = node._player, node._waiting
    for change, words in (
        ({"strategy": "none"}, "strategy"),
        ({"joint_names": ["b"]}, r"joints ['b'], expected ['a']"),
        ({"values": [3.0] * 30}, "would jump by"),
        ({"late": NS // 5}, "older than the chunk that waits"),
    ):
        cell.chunk(0.2, **change)
        assert node._waiting is waits
        assert words in player.last_rejection
    assert (player.superseded, player.rejected, node._record.lost) == (0, 4, 0)
    cell.run(2.0)
    assert (player.played, player.rejected) == (1, 4)
    cell.chunk(0.2)
    assert node._record.lost == 0


def test_why_nothing_moves_is_said_while_a_chunk_waits(make: Callable[..., Cell]) -> None:
    cell, said = bridged(make, chunks=0), []
    cell.node._armed_at -= NS  # else it answers what was seen before
    cell.node._status.publish = lambda message: said.append((message.mode, message.reason))
    cell.chunk(0.2)
    cell.run(0.1)
    assert said[-1] == (
        "holding",
        "the newest chunk waits: the controller is led to where the next motion begins",
    )
    cell.run(2.0)
    assert ("playing", "") in said


@pytest.mark.parametrize("stop", ["service", "disarm", "clock"])
def test_a_chunk_that_waits_is_dropped_with_words_by_a_stop(
    make: Callable[..., Cell], stop: str
) -> None:
    from std_srvs.srv import SetBool, Trigger

    cell = bridged(make, chunks=1)
    node = cell.node
    if stop == "service":
        node._on_stop(Trigger.Request(), Trigger.Response())
    elif stop == "disarm":
        node._on_arm(SetBool.Request(data=False), SetBool.Response())
    else:
        node.time -= 3 * NS // 10
    words = {
        "service": "chunk 1: stopped by ~/stop",
        "disarm": "chunk 1: dry run before it could be followed",
        "clock": "chunk 1: the clock jumped back",
    }
    cell.run(3.0)
    assert node._player.last_rejection == words[stop]
    assert (node._player.played, node._player.rejected) == (0, 1)


@pytest.mark.parametrize("recovery", ["automatic", "explicit"])
def test_a_chunk_is_not_over_while_the_next_one_waits(
    make: Callable[..., Cell], recovery: str
) -> None:
    """The motion that is played may end while its controller is still led onto it."""
    cell = make("joint_trajectory", recovery, armed=True)
    node = cell.node
    cell.run(2.0)
    cell.chunk(0.1, count=10)
    cell.run(0.3)
    assert node._player.mode == "playing"
    end = node._player.motion.end
    bridges, until = node._supervisor.is_bridging, end + NS // 5
    node._supervisor.is_bridging = lambda now: now < until or bridges(now)
    cell.chunk(0.1, count=30)
    while node.time < until:
        assert node._player.loaded.number == 1
        cell.run(0.02)
    cell.run(0.1)
    assert node._armed
    assert (node._player.mode, node._player.loaded.number) == ("playing", 2)
    assert not [reason for reason in cell.reasons if "over" in reason]


@pytest.mark.parametrize("away", [10.0, 50.0])
def test_a_robot_in_degrees_is_led_from_a_radian_away_too(
    make: Callable[..., Cell], tmp_path: Any, away: float
) -> None:
    degree = 180 / np.pi
    limits = {name: [degree * number for number in values] for name, values in LIMITS.items()}
    urdf = tmp_path / "arm.urdf"
    urdf.write_text(
        '<robot name="r"><link name="l"/><link name="m"/><joint name="a" type="revolute">'
        '<parent link="l"/><child link="m"/><axis xyz="0 0 1"/>'
        '<limit lower="-9" upper="9" velocity="1.9" effort="1"/></joint></robot>'
    )
    more = {**limits, "units": ["deg"], "urdf": str(urdf), "max_tracking_error": 5.7}
    cell = make("joint_trajectory", "automatic", armed=True, **more)
    cell.controller.hold(np.array([away]), cell.node.time)
    cell.way, cell.where = [away] * LAG, 0.0
    cell.controller.active = True
    cell.points.clear()
    cell.held = True
    cell.run(3.0)
    fastest, strongest = cell.steepest(0)
    assert fastest < 1.1 * SPEED * degree
    assert strongest < 1.5 * ACCELERATION * degree


def test_a_chunk_that_waits_is_dropped_with_words_when_the_commander_is_deactivated(
    make: Callable[..., Cell],
) -> None:
    cell = bridged(make, chunks=1)
    player, said = cell.node._player, []
    cell.node.get_logger().warning = lambda text, **_: said.append(text)
    assert (player.rejected, player.last_rejection) == (0, "")
    cell.node.trigger_deactivate()
    words = "chunk 1: the commander is stopped"
    assert (player.rejected, player.last_rejection) == (1, words)
    assert f"rejected {words}" in said
    cell.node.trigger_activate()
    cell.node._armed_at = 0  # whatever it answers, it does not come back
    cell.run(2.0)
    assert (player.played, player.rejected) == (0, 1)
