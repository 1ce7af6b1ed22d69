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
            set_by = 0  # how much of that the clock was set forward by

            def now(self) -> int:
                return self.time

            def steady(self) -> int:
                return self.time - self.set_by

        values = {
            "joints": ["a"],
            "sink": "position_stream",
            "recovery": "automatic",
            "max_tracking_error": 0.1,
            **LIMITS,
            **parameters,
        }
        self.node = Stepped(
            parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
        )
        self.where, self.number, self.sent = 0.0, 0, list[tuple[float, float, float]]()
        self.motion: Any = None  # of a controller of trajectories
        self.begun: list[tuple[float, float]] = []  # the beginnings of motions: time (s), position
        self.put: float | None = None  # somebody holds the arm there
        self.offset = 0.0  # what the encoders are wrong by
        self.node.trigger_configure()
        self._listen()
        self.node.trigger_activate()
        self.measure()

    def _listen(self) -> None:
        def point(position: Any, velocity: Any, gripper: Any, now: int) -> None:
            self.sent.append((now / NS, float(position[0]), float(velocity[0])))

        def begin(motion: Any, now: int) -> None:
            self.motion = motion
            self.begun.append((now / NS, float(motion.at(now)[0][0])))

        self.node._sink.point, self.node._sink.begin = point, begin
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
        if self.put is not None:
            self.where = self.put
        elif self.motion is not None and not self.node._sink.streams:
            way = float(self.motion.at(self.node.time)[0][0]) - self.where
            way = (way + np.pi) % (2 * np.pi) - np.pi  # of a continuous joint
            self.where += float(np.clip(way, -MOST, MOST))
        elif self.sent:
            self.where = self.sent[-1][1]
        self.hear(self.where + self.offset)

    def hear(self, position: float, late: int = 0) -> None:
        """A joint state, stamped `late` ns before now."""
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header

        stamp = header(self.node.time - late)
        self.node._on_joint_state(JointState(header=stamp, name=["a"], position=[position]))

    def run(self, seconds: float, measured: bool = True) -> None:
        for _ in range(round(seconds * NS / PERIOD)):
            self.node.time += PERIOD
            if measured:
                self.measure()
            self.node._tick()

    @property
    def mode(self) -> str:
        return str(self.node._player.mode)

    @property
    def reason(self) -> str:
        return str(self.node._player.reason)

    def chunk(self, speed: float, strategy: str = "replace", late: float = PERIOD / NS) -> None:
        """A chunk of 2 s seen `late` s ago, that leads away from where the arm was."""
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        stamp, step, self.number = self.node.time + 1, NS // 15, self.number + 1
        rows = np.float32(self.where + speed * np.arange(1, 31, dtype=np.float32) / 15)[:, None]
        self.run(late)
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
    rest = arm.node._player.motion.at(arm.node._player.motion.end)[0][0]
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


@pytest.mark.parametrize("jump", [0.5, -0.5])
@pytest.mark.parametrize("what", ["chunk", "service", "topic", "joint state"])
def test_whatever_comes_first_after_a_stall_the_stream_goes_on_where_it_stopped(
    make: Callable[..., Arm], what: str, jump: float
) -> None:
    """The clock was set, or the process stood: messages may be handled before the next tick."""
    from std_msgs.msg import Bool
    from std_srvs.srv import Trigger

    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.5)
    last = arm.sent[-1][1]
    arm.node.time += int(jump * NS)
    arm.measure()
    if what == "chunk":
        arm.chunk(1.5, late=0.0)
    elif what == "service":
        arm.node._on_stop(Trigger.Request(), Trigger.Response())
    elif what == "topic":
        arm.node._on_stop_topic(Bool(data=True))
    arm.run(0.3)
    assert np.abs(arm.steps()[:, 1]).max() < 2 * MOST
    if jump > 0 and what in ("chunk", "joint state"):
        assert arm.mode == "playing"
        assert arm.sent[-1][1] > last + 0.2, "at once, not after the time of the stall once more"


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


def test_a_clock_set_back_while_it_was_inactive_is_no_dead_end(make: Any) -> None:
    """The last motion would end long after now: an arm at rest plays from the first row anyhow."""
    arm = make(armed=True)
    arm.chunk(1.5)
    arm.run(0.5)
    arm.node.trigger_deactivate()
    arm.sent.clear()
    arm.node.time -= 10 * NS
    arm.node.set_by -= 10 * NS
    arm.node.trigger_activate()
    arm.run(1.0)
    begin = arm.where
    arm.chunk(1.0, late=1.0)
    arm.run(0.5)
    assert arm.mode == "playing", arm.node._player.last_rejection
    assert arm.where > begin + 0.1
    assert np.abs(arm.steps()[:, 1]).max() < MOST


def test_a_clock_set_forward_gives_no_joint_time_to_move(make: Any) -> None:
    """By its stamp the wrong message comes a minute after the one before it."""
    arm = make(armed=True)
    arm.run(0.2)
    arm.node.time += 60 * NS
    arm.node.set_by += 60 * NS
    arm.hear(1.0)
    assert "a is said to have moved by 1.000 within 0.2" in arm.node._fault(arm.node.now())
    assert arm.node._monitor.measured == pytest.approx([0.0])


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
    assert "a is said to have moved by 1.000 within 0.020 s" in arm.ask(True)
    arm.run(3.0)
    assert arm.ask(True) == "armed"
    arm.sent.clear()
    arm.chunk(0.5)
    arm.run(0.3)
    assert abs(arm.sent[0][1] - arm.put) < 0.05


SINKS = pytest.mark.parametrize("sink", ["joint_trajectory", "position_stream", "joint_command"])
FAR = {"lower": [-9.0], "upper": [9.0]}
RECOVERIES = pytest.mark.parametrize("recovery", ["automatic", "explicit"])


@SINKS
@RECOVERIES
@pytest.mark.parametrize("speed", [0.1, 0.4, 0.8, 1.6])
def test_an_arm_that_stops_following_is_held_where_it_is(
    make: Callable[..., Arm], sink: str, recovery: str, speed: float
) -> None:
    """Its own stop, a controller that was deactivated: joint states go on, the arm does not."""
    arm = make(armed=True, sink=sink, recovery=recovery, **FAR)
    arm.run(0.1)
    arm.chunk(speed)
    arm.run(0.5)
    arm.chunk(speed)
    arm.run(0.3)
    assert arm.where > 0.3 * speed
    arm.put = stopped = arm.where
    arm.begun.clear()
    arm.sent.clear()
    held = None
    for _ in range(30):
        arm.chunk(speed)
        for _ in range(10):
            arm.run(PERIOD / NS)
            if held is None and arm.mode == "holding":
                held = arm.reason
                if not arm.node._sink.streams:
                    assert arm.begun[-1][1] == pytest.approx(stopped), "a point at the arm"
    assert held is not None
    assert held.startswith("the arm does not follow: a ")
    most = 0.1 + 0.15 * speed + 2 * MOST
    assert max(abs(position - stopped) for _, position in arm.begun or [(0, stopped)]) < most
    if arm.node._sink.streams:
        assert max(abs(position - stopped) for _, position, _ in arm.sent) < most
    if recovery == "explicit":
        assert not arm.node._armed
        if arm.node._sink.streams:
            assert arm.sent[-1][1] == pytest.approx(stopped, abs=0.01), "no braking from elsewhere"
    if arm.node._sink.streams:
        steps = zip(arm.steps()[:, 1], arm.sent[1:], strict=True)
        far = {round(point[1] - stopped, 6) for step, point in steps if abs(step) > MOST}
        assert far <= {0.0}, "no step of the stream but back to the arm"


@SINKS
def test_what_follows_late_is_followed(make: Callable[..., Arm], sink: str) -> None:
    arm = make(armed=True, sink=sink, recovery="explicit")
    arm.run(0.1)
    places = [arm.where]
    for _ in range(4):
        arm.chunk(1.2)
        for _ in range(20):
            arm.put = places[-6] if len(places) > 5 else places[0]  # 0.1 s late
            arm.run(PERIOD / NS)
            places.append(arm.node._player.motion.at(arm.node.time)[0][0])
    assert arm.node._armed
    assert arm.mode == "playing"
    assert places[-1] > 1.0


@SINKS
@RECOVERIES
@pytest.mark.parametrize("other", [0.0, -0.5])
def test_contradicting_joint_states_move_nothing(
    make: Callable[..., Arm], sink: str, recovery: str, other: float
) -> None:
    arm = make(armed=True, sink=sink, recovery=recovery)
    arm.put = 1.2
    arm.run(1.0)
    arm.ask(True)
    arm.chunk(0.3)
    arm.put = None
    arm.run(0.4)
    assert arm.mode == "playing"
    arm.sent.clear()
    arm.begun.clear()
    for k in range(100):
        arm.run(PERIOD / NS)
        if k % 5 == 0:
            arm.hear(other, late=-NS // 1000)
            assert arm.ask(True) if arm.node._armed else "not armed: a is said" in arm.ask(True)
        if k % 10 == 4:
            arm.chunk(0.3)
    assert "a is said to have moved by" in arm.node._player.last_rejection
    assert arm.node._armed == (recovery == "automatic")
    assert all(position > 1.1 for _, position in arm.begun)
    assert all(position > 1.1 for _, position, _ in arm.sent)


@SINKS
@RECOVERIES
def test_an_arm_that_was_put_elsewhere_while_it_held_begins_there(
    make: Callable[..., Arm], sink: str, recovery: str
) -> None:
    """A reset of a simulation, or a hand: with explicit recovery it is armed once more."""
    arm = make(armed=True, sink=sink, recovery=recovery)
    arm.run(0.1)
    arm.chunk(0.3)
    arm.run(3.0)
    assert arm.mode == "holding"
    arm.put = arm.where + 1.0
    arm.run(2.0)
    arm.put, arm.motion = None, None
    arm.sent.clear()
    if recovery == "explicit":
        assert arm.ask(True) == "armed"
    arm.begun.clear()
    for _ in range(3):
        arm.chunk(0.3)
        arm.run(0.1)
    assert arm.node._player.last_rejection == ""
    assert arm.mode == "playing"
    assert arm.node._player.motion.at(arm.node.time)[0][0] > 1.0
    if sink == "joint_trajectory":
        assert arm.begun[0][1] == pytest.approx(1.0 + 0.6, abs=0.1)


@pytest.mark.parametrize("late", [0.1, 0.6, 1.5, 3.0])
def test_a_slow_network_starts_from_rest(make: Callable[..., Arm], late: float) -> None:
    """The arm has not done the rows that are past: the first row is the first one played."""
    arm = make(armed=True, sink="joint_trajectory", max_jump=0.2)
    arm.run(0.1)
    arm.chunk(1.0, late=late)
    assert arm.node._player.last_rejection == ""
    arm.run(0.2)
    assert 0.01 < arm.where < 0.1, "not where the chunk would have been by now"
    arm.chunk(1.0, late=0.02)
    assert arm.node._player.rejected == 0, "newer, though the one before is played later"


def test_a_chunk_that_comes_later_than_it_lasts_is_over(make: Callable[..., Arm]) -> None:
    arm = make(armed=True, sink="joint_trajectory")
    arm.run(0.1)
    arm.chunk(1.0, late=4.5)
    assert "chunk is over: its last row was due 2.5" in arm.node._player.last_rejection


@SINKS
def test_a_continuous_joint_turns_on_beyond_pi(
    make: Callable[..., Arm], sink: str, tmp_path: Any
) -> None:
    urdf = tmp_path / "robot.urdf"
    urdf.write_text(
        '<robot name="r"><joint name="a" type="continuous"><limit velocity="2" effort="9"/>'
        "</joint></robot>"
    )
    unlimited = {"lower": [], "upper": [], "velocity": []}
    arm = make(armed=True, sink=sink, urdf=str(urdf), recovery="explicit", **unlimited)
    hear = arm.hear
    arm.hear = lambda at, late=0: hear((at + np.pi) % (2 * np.pi) - np.pi, late)  # type: ignore[method-assign]
    arm.put = 2.9
    arm.run(1.0)
    arm.ask(True)
    arm.put = None
    for _ in range(20):
        arm.where = (arm.where + np.pi) % (2 * np.pi) - np.pi  # what a policy is shown
        arm.chunk(0.5)
        arm.run(0.4)
    assert arm.node._armed
    assert arm.node._player.last_rejection == ""
    assert arm.node._player.motion.at(arm.node.time)[0][0] > 5.0
    assert np.abs(arm.steps()[1:, 1]).max() < MOST


@SINKS
@pytest.mark.parametrize("offset", [0.2, 1.0, -1.0])
@pytest.mark.parametrize("chunks", [False, True])
def test_encoders_that_are_wrong_all_at_once_do_not_lead_the_arm_away(
    make: Callable[..., Arm], sink: str, offset: float, chunks: bool
) -> None:
    """The set points would come to where the arm is said to be, it would move, and so on."""
    arm = make(armed=True, sink=sink, **FAR)
    arm.run(0.1)
    arm.chunk(0.3)
    arm.run(3.0 if not chunks else 0.5)
    before, arm.offset = arm.where, offset
    for _ in range(60):
        arm.run(0.2)
        if chunks:
            arm.chunk(0.1)
    assert not arm.node._armed, "with automatic recovery, too"
    assert abs(arm.where - before) < 0.7


@SINKS
@pytest.mark.parametrize("offset", [0.15, 1.0, -2.5])
def test_a_driver_that_begins_anew_with_another_zero_does_not_lead_the_arm_away(
    make: Callable[..., Arm], sink: str, offset: float
) -> None:
    """Joint states are gone for a while: what then seems to be a motion is not implausible."""
    arm = make(armed=True, sink=sink, **FAR)
    arm.run(0.1)
    arm.chunk(0.3)
    arm.run(3.0)
    arm.run(1.5, measured=False)
    before, arm.offset, since = arm.where, offset, len(arm.sent)
    for _ in range(80):
        arm.run(0.2)
        arm.chunk(0.1)
    if sink != "joint_trajectory":
        steps = np.abs(np.diff([position for _, position, _ in arm.sent[since:]]))
        assert steps.max() < MOST, "no step onto what is measured"
    assert abs(arm.where - before) < 0.7
    if abs(offset) > 0.2:
        assert not arm.node._armed


@SINKS
def test_nothing_is_sent_outside_of_the_range_though_the_arm_is_measured_there(
    make: Callable[..., Arm], sink: str
) -> None:
    arm = make(armed=True, sink=sink, lower=[-1.0], upper=[1.0])
    arm.run(0.1)
    arm.chunk(0.4)
    arm.run(3.0)
    arm.offset = 1.0
    for _ in range(100):
        arm.run(0.2)
        if arm.motion is not None:
            assert arm.motion.points.max() <= 1.0 + 1e-6
    assert max(position for _, position, _ in arm.sent) <= 1.0 + 1e-6
    assert not arm.node._armed


def test_chunks_that_cannot_be_of_this_clock_are_rejected_with_words(
    make: Callable[..., Arm],
) -> None:
    from cosmos3_ros.model.interface import ActionChunk
    from cosmos3_ros.ros.messages import chunk_message

    arm = make(armed=True)
    for wait, rejected in ((0.5, 0), (3.0, 1)):
        arm.run(wait)
        rows = np.full((30, 1), arm.where, np.float32)
        chunk = ActionChunk(rows, ("a",), 5 * NS, NS // 15)
        message = chunk_message(chunk, number=1, instruction="", embodiment="", seconds={})
        arm.node._on_chunk(message)
        assert arm.node._player.rejected == rejected
    assert "before the arm was armed" in arm.node._player.last_rejection
