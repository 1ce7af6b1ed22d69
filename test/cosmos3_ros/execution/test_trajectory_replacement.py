# SPDX-License-Identifier: Apache-2.0
"""What a trajectory controller makes of replaced trajectories: set points within the limits."""

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import STEP, Limits, SplineMotion, brake, follow, rest
from cosmos3_ros.execution.trajectory_replacement import (
    FIRST,
    GRACE,
    NEAR,
    TrajectoryReplacement,
    Waypoints,
)
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.sim.emulated_controllers import ArmController, Point, State, Trajectory

JOINTS = ("a", "b")
LIMITS = Limits(
    np.full(2, -2.0), np.full(2, 2.0), np.array([1.9, 1.2]), np.full(2, 5.0), np.full(2, 150.0)
)
PERIOD = NS // 1000


def swing(motion: SplineMotion, now: int, random: np.random.Generator) -> SplineMotion:
    """What a chunk of a policy makes of a motion: 2 s from where it is, speeds up to 0.6 rad/s."""
    here = motion.at(now)[0]
    rate = random.uniform(0.1, 0.6, 2) * random.choice([-1, 1], 2)
    at = np.arange(1, 31)[:, None] / 15
    rows = np.clip(here + rate * np.sin(2 * at) / 2, -1.9, 1.9)
    return follow(ActionChunk(rows.astype(np.float32), JOINTS, now, NS // 15), motion, now, LIMITS)


def ready(stamped: bool = True) -> TrajectoryReplacement:
    """After the controller was led to where the arm is, at 0."""
    replacement = TrajectoryReplacement(LIMITS, stamped)
    assert replacement.next(rest(np.zeros(2), -3 * NS), -3 * NS) is not None
    return replacement


class Controller:
    """The emulated controller at 1 kHz behind an arm that follows or stands still."""

    def __init__(self, stamped: bool, offset: int = 0, delay: int = 5 * PERIOD, **flags) -> None:
        """offset: what its clock shows more, ns; delay: of the messages to it, ns."""
        self.arm = ArmController(JOINTS, PERIOD, **flags)
        self.arm.hold(np.zeros(2), offset)
        self.stamped, self.offset, self.delay = stamped, offset, delay
        self.measured, self.line, self.now = np.zeros(2), [], 0
        self.waiting: list[tuple[int, Trajectory]] = []

    def send(self, waypoints: Waypoints | None) -> None:
        if waypoints is None:
            return
        points = [Point(*row) for row in waypoints.rows()]
        stamp = waypoints.start if self.stamped else 0
        self.waiting.append((self.now + self.delay, Trajectory(JOINTS, points, stamp)))

    def until(self, end: int) -> None:
        """Run until `end`, by the sender's clock."""
        while self.now < end:
            if self.waiting and self.now >= self.waiting[0][0]:
                self.arm.follow(self.waiting.pop(0)[1], self.now + self.offset)
            state = State(self.measured, np.zeros(2))
            self.line.append(self.arm.update(self.now + self.offset, state).copy())
            self.now += PERIOD
            if self.arm.active:
                self.measured = self.line[-1]

    def most(self, begin: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Largest speed, and acceleration by a fit through 9 ms, as shares of the limits."""
        line = np.array(self.line[begin // PERIOD :])
        speed = np.abs(np.diff(line, axis=0)).max(axis=0) * NS / PERIOD
        weights = 2 * np.polynomial.polynomial.polyfit(np.arange(-4, 5) / 1e3, np.eye(9), 2)[2]
        windows = np.lib.stride_tricks.sliding_window_view(line, 9, axis=0)
        return speed / LIMITS.velocity, np.abs(windows @ weights).max(axis=0) / LIMITS.acceleration


@pytest.mark.parametrize("offset", [0, 20, -20])
@pytest.mark.parametrize("from_desired", [True, False])
@pytest.mark.parametrize("delay", [1, 9])
def test_chunks_after_each_other_keep_the_limits_at_their_seams(delay, from_desired, offset):
    random = np.random.default_rng(delay)
    controller = Controller(True, offset * PERIOD, delay * PERIOD, from_desired=from_desired)
    replacement, motion = ready(), rest(np.zeros(2), 0)
    for k in range(4):
        controller.until(k * 700 * PERIOD + int(random.integers(30)) * PERIOD)
        motion = swing(motion, controller.now, random)
        controller.send(replacement.next(motion, controller.now))
    controller.until(motion.end + NS)
    speed, acceleration = controller.most()
    assert speed.max() <= 1.1
    assert acceleration.max() <= 1.5
    assert np.allclose(controller.line[-1], motion.points[-1], atol=1e-9)


@pytest.mark.parametrize("offset", [0, 20, -20])
@pytest.mark.parametrize("from_command", [True, False])
@pytest.mark.parametrize(("away", "seed"), [(0.1, 0), (0.1, 1), (0.7, 4), (3.0, 5)])
def test_a_controller_that_was_away_is_led_back_within_the_limits(
    away: float, seed: int, from_command: bool, offset: int
) -> None:
    """The next motion begins where the arm is measured, and a chunk may come while it is bridged
    to."""
    random = np.random.default_rng(seed)
    controller = Controller(True, offset * PERIOD, from_command=from_command)
    replacement, motion = ready(), rest(np.zeros(2), 0)
    motion = swing(motion, 0, random)
    controller.send(replacement.next(motion, 0))
    controller.until(NS)
    controller.arm.deactivate()
    controller.measured = controller.line[-1] - random.uniform(0, 0.1, 2) * motion.at(NS)[1]
    controller.until(NS + int(away * NS))
    state = State(controller.measured, np.zeros(2))
    controller.arm.activate(controller.now + controller.offset, state)
    controller.until(controller.now + 12 * PERIOD)
    begin, second = controller.now, controller.now + int(random.integers(100, 900)) * PERIOD
    motion = swing(rest(state.positions, begin), begin, random)
    controller.send(replacement.next(motion, begin))
    controller.until(second)
    while replacement.is_bridging(controller.now):  # no chunk is taken until then
        controller.until(controller.now + NS // 50)
    motion = swing(motion, controller.now, random)
    controller.send(replacement.next(motion, controller.now))
    controller.until(motion.end + NS)
    speed, acceleration = controller.most(begin)
    assert speed.max() <= 1.1
    assert acceleration.max() <= 1.3
    assert np.allclose(controller.line[-1], motion.points[-1], atol=1e-9)


def test_without_stamps_the_seam_is_bridged_and_jumps_by_no_more_than_the_controllers_period() -> (
    None
):
    random = np.random.default_rng(2)
    for delay in (2, 25):
        controller = Controller(False, 7 * NS, delay * PERIOD)
        replacement, motion = ready(stamped=False), rest(np.zeros(2), 0)
        for k in range(3):
            controller.until(k * 700 * PERIOD)
            motion = swing(motion, controller.now, random)
            controller.send(replacement.next(motion, controller.now))
        controller.until(motion.end + NS)
        jumps = np.abs(np.diff(controller.line, 2, axis=0)).max()
        assert jumps <= 1.1 * 0.7 * PERIOD / NS
        assert np.allclose(controller.line[-1], motion.points[-1], atol=1e-9)


def first(motion: SplineMotion, now: int, stamped: bool = True) -> TrajectoryReplacement:
    """After a first motion, when its bridge is over."""
    replacement = ready(stamped)
    rests = not np.ptp(motion.points, axis=0).any()  # there already
    assert (replacement.next(motion, now) is None) == rests
    return replacement


def test_a_motion_that_continues_the_one_before_begins_in_the_past_on_its_path() -> None:
    random, now = np.random.default_rng(0), NS
    old = swing(rest(np.zeros(2), 0), 0, random)
    replacement = first(old, 0)
    new = swing(old, now, random)
    waypoints = replacement.next(new, now)
    assert waypoints.start == waypoints.times[0] == now - 2 * STEP
    for time in range(now - 2 * STEP, now + NS // 50, NS // 500):
        assert np.allclose(waypoints.at(time), old.at(time), atol=1e-9)
    for time in range(now + NS // 3, new.end + NS, NS // 100):
        assert np.allclose(waypoints.at(time), new.at(time), atol=1e-9)
    assert not waypoints.velocities[-1].any()


def test_a_motion_that_is_over_is_not_sent() -> None:
    motion = swing(rest(np.zeros(2), 0), 0, np.random.default_rng(0))
    replacement = first(motion, 0)
    over = motion.end + NS // 20
    assert replacement.next(brake(motion, over, LIMITS), over) is None
    assert replacement.next(rest(motion.points[-1], over), over + NS) is None


def test_a_hold_just_before_the_end_lasts_longer_than_its_way_to_the_controller() -> None:
    motion = swing(rest(np.zeros(2), 0), 0, np.random.default_rng(0))
    replacement, late = first(motion, 0), motion.end - NS // 8
    waypoints = replacement.next(brake(motion, late, LIMITS), late)
    assert waypoints.times[-1] >= late + GRACE
    assert not waypoints.velocities[-1].any()


HERE = np.array([0.3, -0.2])


def test_the_first_motion_is_bridged_to_from_anywhere_near_its_begin() -> None:
    waypoints = TrajectoryReplacement(LIMITS, True).next(rest(HERE, 0), NS)
    assert waypoints.start == NS
    assert np.allclose(waypoints.positions, [HERE] * len(waypoints.positions))
    # rest to rest takes at least 1.5 d / v and sqrt(6 d / a)
    far = np.minimum(FIRST, np.maximum(LIMITS.upper - HERE, HERE - LIMITS.lower) + NEAR)
    least = max((1.5 * far / LIMITS.velocity).max(), np.sqrt(6 * far / LIMITS.acceleration).max())
    assert NS * least / 1.25 < waypoints.times[0] - NS < 1.5 * NS * least


@pytest.mark.parametrize("stamped", [True, False])
def test_a_motion_that_begins_anew_is_reached_in_the_time_that_the_limits_ask_for(
    stamped: bool,
) -> None:
    replacement = first(rest(np.zeros(2), 0), 0, stamped)
    waypoints = replacement.next(rest(np.array([0.5, 0.0]), NS), NS)
    assert len(waypoints.times) == 1
    least = max(1.5 * 0.5 / LIMITS.velocity[0], np.sqrt(6 * 0.5 / LIMITS.acceleration[0]))
    assert least / 1.12 < (waypoints.times[0] - NS) / NS < 1.3 * least


def test_while_the_arm_may_be_away_a_motion_is_bridged_to_from_there_too() -> None:
    random, where = np.random.default_rng(0), [None]
    replacement = TrajectoryReplacement(LIMITS, True, lambda: where[0])
    motion = swing(rest(np.zeros(2), 0), 0, random)
    replacement.next(motion, 0)
    new = swing(motion, NS, random)
    where[0] = (motion.at(NS)[0] - 0.2, True)
    waypoints = replacement.next(new, NS)
    assert waypoints.start == NS
    assert (waypoints.times[0] - NS) / NS > np.sqrt(6 * 0.2 / LIMITS.acceleration[0]) / 1.25


def test_while_it_is_bridged_the_path_leads_from_the_arm_and_a_stop_may_come() -> None:
    random, here = np.random.default_rng(0), np.full(2, 0.5)
    begin = swing(rest(here, NS), NS, random)
    now = NS + NS // 10
    stop = brake(begin, now, LIMITS)
    replacement = first(rest(np.zeros(2), 0), 0)
    end = int(replacement.next(begin, NS).times[0])
    assert stop.end < end
    assert replacement.is_bridging(NS)
    assert replacement.is_bridging(end)
    assert not replacement.is_bridging(end + NS // 10)
    assert not replacement.is_bridging(NS // 2), "the clock was set back"
    assert np.allclose(replacement.path(NS).at(NS)[0], here)
    for time in range(end, begin.end, NS // 50):
        assert np.allclose(replacement.path(time).at(time)[0], begin.at(time)[0], atol=1e-9)
    halfway = replacement.path(now).at(now)[0]
    waypoints = replacement.next(stop, now)
    assert not waypoints.velocities[-1].any()
    assert np.allclose(replacement.path(now).at(now)[0], halfway)
    assert np.allclose(replacement.path(now + 3 * NS).at(now + 3 * NS)[0], stop.points[-1])


def test_a_clock_that_was_set_back_is_survived() -> None:
    random = np.random.default_rng(0)
    motion = swing(rest(np.zeros(2), 100 * NS), 100 * NS, random)
    replacement = first(motion, 100 * NS)
    again = swing(rest(np.full(2, 0.2), NS), NS, random)
    waypoints = replacement.next(again, NS)
    assert waypoints.times[0] > NS
    assert (np.diff(waypoints.times) > 0).all()


@pytest.mark.parametrize("offset", [0, 20, -20])
def test_the_first_motion_leads_a_controller_from_a_radian_away_within_the_limits(
    offset: int,
) -> None:
    """An arm that was guided, or held by its brakes, before the commander was started."""
    for place in ([1.0, -1.0], [-1.0, 0.3], [0.0, 0.0]):
        controller = Controller(True, offset * PERIOD)
        controller.arm.hold(np.array(place), controller.offset)
        motion = rest(np.zeros(2), 0)
        controller.until(PERIOD)
        begin = controller.now
        controller.send(TrajectoryReplacement(LIMITS, True).next(motion, begin))
        controller.until(3 * NS)
        speed, acceleration = controller.most(begin + PERIOD)
        assert speed.max() <= 1.1
        assert acceleration.max() <= 1.3
        assert np.allclose(controller.line[-1], 0.0, atol=1e-9)
