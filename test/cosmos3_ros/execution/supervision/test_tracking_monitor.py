# SPDX-License-Identifier: Apache-2.0
"""An arm that lags follows at any speed; one that stands still does not."""

from collections.abc import Callable

import numpy as np
import pytest

from cosmos3_ros.execution.spline_motion import STEP, SplineMotion, rest
from cosmos3_ros.execution.supervision.tracking_monitor import TrackingMonitor
from cosmos3_ros.model.interface import NS

LAG = 3 * NS // 20
PERIODS = [NS // 250, NS // 50, NS // 15]


def moving(speed: float, seconds: float = 10.0) -> SplineMotion:
    """From -`speed` * STEP at constant speed, ns 0 on; the other joint stays."""
    path = speed * STEP / NS * np.arange(-1, int(seconds * NS / STEP))
    return SplineMotion(0, np.stack([path, np.zeros(len(path))], axis=1))


def watch(
    motion: SplineMotion, arm: Callable[[int], float], period: int, seconds: float
) -> list[tuple[float, str]]:
    """Every fault of an arm that is at `arm(time)`, and when it was there (s)."""
    monitor, found = TrackingMonitor(("a", "b"), LAG, 0.1), []
    for now in range(0, int(seconds * NS), period):
        monitor.measure(np.array([arm(now), 0.0]), now)
        monitor.record(motion, now)
        if why := monitor.fault():
            found.append((now / NS, why))
    return found


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("speed", [0.05, 0.4, 1.8])
def test_an_arm_that_lags_follows(speed: float, period: int) -> None:
    motion = moving(speed)
    assert not watch(motion, lambda t: motion.at(max(0, t - 117 * NS // 1000))[0][0], period, 4)
    assert not watch(motion, lambda t: motion.at(t)[0][0], period, 4)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("speed", [0.05, 0.1, 0.4, 1.0, 1.8, -1.8])
def test_an_arm_that_stops_is_noticed_before_its_set_point_is_far(
    speed: float, period: int
) -> None:
    motion, stop = moving(speed), 2 * NS
    faults = watch(motion, lambda t: motion.at(min(t, stop))[0][0], period, 5)
    late = faults[0][0] - stop / NS
    assert late >= 0
    assert abs(speed) * late < 0.12 + abs(speed) * (LAG + period) / NS, "well before 0.5"
    assert faults[0][1].startswith("the arm does not follow: a ")


@pytest.mark.parametrize("speed", [0.1, 0.4])
def test_an_arm_that_never_moves_is_noticed_though_motions_begin_anew_at_it(speed: float) -> None:
    monitor, faults = TrackingMonitor(("a", "b"), LAG, 0.1), []
    for now in range(0, 4 * NS, STEP):
        begin = now // (NS // 2) * (NS // 2)
        if begin == now:
            monitor.begin(restart=True)
            motion = moving(speed)
        monitor.measure(np.zeros(2), now)
        monitor.record(SplineMotion(begin, motion.points), now)
        assert monitor.deviation().max() <= 0.2
        if why := monitor.fault():
            faults.append((now / NS, why))
    assert faults[0][0] < 1.5
    assert "a moved by 0.000 while its set points moved by 0." in faults[0][1]


def test_small_set_points_at_rest_are_no_travel() -> None:
    k = np.arange(500)
    points = np.stack([0.02 * np.sin(k / 10), np.zeros(500)], axis=1)
    assert not watch(SplineMotion(0, points), lambda t: 0.0, NS // 50, 9)


def test_an_arm_that_was_moved_while_it_held_is_not_where_its_set_point_is() -> None:
    motion = rest(np.zeros(2), 0)
    faults = watch(motion, lambda t: 0.3 if t > NS else 0.0, NS // 50, 2)
    assert "a is 0.300 from all its set points of the last 0.15 s, limit 0.100" in faults[0][1]


def test_a_stall_is_filled_with_what_the_controllers_did_meanwhile() -> None:
    monitor, motion = TrackingMonitor(("a", "b"), LAG, 0.1), moving(0.5)
    for now in (*range(0, NS, STEP), 3 * NS):
        monitor.measure(motion.at(max(0, now - NS // 10))[0], now)
        monitor.record(motion, now)
        assert monitor.fault() == ""


def test_a_clock_that_is_set_takes_the_past_along() -> None:
    monitor, motion = TrackingMonitor(("a", "b"), LAG, 0.1), moving(1.0)
    for now in range(0, NS, STEP):
        monitor.record(motion, now)
    monitor.shift(-60 * NS)
    later = NS - STEP - 60 * NS
    monitor.measure(motion.at(NS - STEP - NS // 10)[0], later)
    monitor.record(SplineMotion(motion.start - 60 * NS, motion.points), later)
    assert monitor.deviation().max() == 0.0


def test_nothing_is_said_of_what_is_not_known() -> None:
    monitor = TrackingMonitor(("a", "b"), LAG, 0.1)
    assert monitor.fault() == ""
    monitor.measure(np.zeros(2), 5)
    assert monitor.fault() == ""
    monitor.record(rest(np.ones(2), 0), 5)
    assert monitor.fault() != ""
    monitor.forget()
    assert monitor.fault() == ""


@pytest.mark.parametrize("restart", [False, True])
def test_a_set_point_that_comes_back_to_an_arm_again_and_again_has_moved(restart: bool) -> None:
    """Chunk after chunk begins where a standing arm is seen."""
    monitor, faults = TrackingMonitor(("a", "b"), LAG, 0.1), []
    for now in range(0, 4 * NS, STEP):
        begin = now // (NS // 4) * (NS // 4) // STEP * STEP
        if begin == now:
            monitor.begin(restart)
            motion = moving(0.1)
        monitor.measure(np.zeros(2), now)
        monitor.record(SplineMotion(begin, motion.points), now)
        faults += [(now / NS, why)] if (why := monitor.fault()) else []
    assert faults[0][0] < 1.5


def doubts(arm: Callable[[int], float], speed: float, seconds: float = 3.0) -> list[float]:
    """When an arm that is at `arm(time)` may have been away, s; the joint b stays."""
    motion, monitor, found = moving(speed), TrackingMonitor(("a", "b"), LAG, 0.1), []
    for now in range(0, int(seconds * NS), NS // 100):
        monitor.measure(np.array([arm(now), 0.0]), now)
        monitor.record(motion, now)
        if monitor.may_be_away():
            found.append(now / NS)
    return found


@pytest.mark.parametrize("speed", [0.1, 0.6, 1.8])
@pytest.mark.parametrize("late", [-20, 0, 25, 117])
def test_an_arm_that_lags_is_not_away_nor_one_whose_clock_is_a_little_ahead(
    speed: float, late: int
) -> None:
    motion = moving(speed)
    found = doubts(lambda t: motion.at(max(0, t - late * NS // 1000))[0][0], speed)
    # it cannot begin at that speed, and is not known to follow before it has begun to move
    assert not [when for when in found if when > 0.1 + max(0, late) / 500]


@pytest.mark.parametrize("speed", [0.1, 0.3, 0.6, -0.6])
def test_an_arm_that_paused_for_a_tenth_of_a_second_may_be_away(speed: float) -> None:
    motion, stop = moving(speed), 2 * NS
    found = doubts(lambda t: motion.at(min(t, stop))[0][0], speed)
    assert 2.0 < found[0] < 2.12
    assert found[-1] > 2.9


def test_at_rest_an_arm_that_is_off_may_be_away() -> None:
    monitor = TrackingMonitor(("a", "b"), LAG, 0.1)
    for now in range(0, NS, STEP):
        monitor.record(rest(np.zeros(2), 0), now)
        monitor.measure(np.array([0.001, 0.0]), now)
    assert not monitor.may_be_away()
    monitor.measure(np.array([0.001, -0.004]), NS)
    assert monitor.may_be_away()
    monitor.forget()
    assert not monitor.may_be_away()


def test_two_measured_just_now_are_no_sign_that_the_arm_stands() -> None:
    """Some joints may be measured again with the stamp of the one that was not."""
    monitor = TrackingMonitor(("a",), LAG, 0.1)
    for stamp, position in ((0, 0.0), (NS // 5, 0.3), (NS // 5 + NS // 100, 0.305)):
        monitor.measure(np.array([position]), stamp)
    assert not monitor.is_standing()
    for k in range(1, 12):
        monitor.measure(np.array([0.305]), NS // 5 + (1 + k) * NS // 100)
    assert monitor.is_standing()


@pytest.mark.parametrize(
    ("moves", "said"),
    [(0.0, ""), (-0.4, ""), (0.09, ""), (0.2, "a moved away by 0.200"), (-0.8, "a moved away by")],
)
def test_an_arm_that_moves_away_from_set_points_that_come_to_it_is_noticed(
    moves: float, said: str
) -> None:
    """Between where they were and where it is, it may still be on its way."""
    monitor = TrackingMonitor(("a", "b"), LAG, 0.1)
    monitor.begin_return(np.array([[0.5, 0.0], [1.0, 0.0]]), NS)
    monitor.measure(np.array([1.0 + moves, 0.0]), NS // 2)
    assert monitor.return_fault(NS).startswith(said)
    assert bool(monitor.return_fault(NS)) == bool(said)
    assert monitor.watches_return(2 * NS)
    assert monitor.return_fault(2 * NS + 1) == "", "it was there"
    monitor.begin(restart=False)
    assert not monitor.watches_return(NS), "another motion"
