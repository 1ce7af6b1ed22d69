# SPDX-License-Identifier: Apache-2.0
"""The emulated controllers against what ros2_controllers in Jazzy does with the same messages."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.sim.emulated_controllers import (
    ArmController,
    Point,
    Robot,
    State,
    Trajectory,
    interpolate,
)

S = 1_000_000_000
PERIOD = S // 100
JOINTS = ("a", "b")
REST = State(np.zeros(2), np.zeros(2))


def controller(**options) -> ArmController:
    arm = ArmController(JOINTS, PERIOD, **options)
    arm.hold(np.zeros(2), 0)
    return arm


def points(*rows: tuple, **fields) -> tuple[Point, ...]:
    """Rows (seconds, positions, velocities, accelerations), the last two may be left out."""
    return tuple(Point(round(seconds * S), *values, **fields) for seconds, *values in rows)


def run(arm: ArmController, begin: int, end: int, measured: State = REST) -> dict[int, np.ndarray]:
    """Set points by the time they are for."""
    return {now + PERIOD: arm.update(now, measured) for now in range(begin, end, PERIOD)}


def test_holds_before_and_after():
    arm = controller()
    arm.hold(np.array([0.3, -0.2]), 0)
    assert np.allclose(arm.update(5 * S, REST), [0.3, -0.2])
    arm.follow(Trajectory(JOINTS, points((0.1, (1.0, 2.0)))), 5 * S)
    track = run(arm, 5 * S, 7 * S)
    assert np.allclose(track[7 * S], [1.0, 2.0])
    assert np.allclose(arm.update(1000 * S, REST), [1.0, 2.0])


def test_stamp_zero_starts_at_the_next_update_and_positions_alone_give_straight_lines():
    arm = controller()
    arm.update(-PERIOD, REST)
    arm.follow(Trajectory(JOINTS, points((1.0, (1.0, -1.0)), (2.0, (1.0, 3.0)))), 0)
    track = run(arm, 0, 3 * S)
    assert np.allclose(track[S], [1.0, -1.0])
    assert np.allclose(track[S + S // 2], [1.0, 1.0])
    assert np.allclose(track[2 * S], [1.0, 3.0])
    steps = np.diff([track[t] for t in sorted(track) if S <= t <= 2 * S], axis=0)
    assert np.allclose(steps, [0.0, 0.04])


def test_velocities_give_a_cubic_that_meets_them():
    arm = controller()
    rows = points((1.0, (0.0, 0.0), (0.5, -1.0)), (2.0, (1.0, 0.0), (0.0, 0.0)))
    arm.follow(Trajectory(JOINTS, rows, stamp=10 * S), 10 * S)
    track = run(arm, 10 * S, 12 * S)
    assert np.allclose(track[11 * S], [0.0, 0.0], atol=1e-9)
    assert np.allclose((track[11 * S + PERIOD] - track[11 * S]) / 0.01, [0.5, -1.0], atol=0.05)
    # Hermite's cubic in the middle: half way plus an eighth of the difference of the slopes.
    assert np.allclose(track[11 * S + S // 2], [0.5 + 0.5 / 8, -1.0 / 8])
    assert np.allclose((track[12 * S] - track[12 * S - PERIOD]) / 0.01, [0.0, 0.0], atol=0.05)


@pytest.mark.parametrize("known", ["positions", "velocities", "accelerations"])
def test_interpolation_meets_both_ends(known):
    random = np.random.default_rng(0)
    a, b = (State(*random.normal(size=(3, 4))) for _ in range(2))
    if known != "accelerations":
        b = dataclasses.replace(b, accelerations=None)
    if known == "positions":
        b = dataclasses.replace(b, velocities=None)
    start, end = interpolate(a, b, 0.7, 0.0), interpolate(a, b, 0.7, 0.7)
    assert np.allclose(start.positions, a.positions)
    assert np.allclose(end.positions, b.positions)
    if known == "positions":
        assert np.allclose(start.velocities, (b.positions - a.positions) / 0.7)
        return
    assert np.allclose(start.velocities, a.velocities)
    assert np.allclose(end.velocities, b.velocities)
    if known == "accelerations":
        assert np.allclose(start.accelerations, a.accelerations)
        assert np.allclose(end.accelerations, b.accelerations)


def test_permuted_joints_are_put_in_order():
    arm = controller()
    arm.follow(Trajectory(("b", "a"), points((0.5, (2.0, 1.0), (0.0, 0.0)))), 0)
    assert np.allclose(run(arm, 0, S)[S], [1.0, 2.0])


def test_a_new_trajectory_replaces_the_old_one():
    arm = controller()
    arm.follow(Trajectory(JOINTS, points((1.0, (1.0, 1.0)), (9.0, (9.0, 9.0)))), 0)
    run(arm, 0, 2 * S)
    arm.follow(Trajectory(JOINTS, points((1.0, (0.0, 0.0)))), 2 * S)
    assert np.allclose(run(arm, 2 * S, 20 * S)[20 * S], [0.0, 0.0])


@pytest.mark.parametrize(("from_desired", "first"), [(True, 1.0), (False, 0.4)])
def test_bridge_starts_from_the_set_point_or_from_the_measured_state(from_desired, first):
    """Without interpolate_from_desired_state a new trajectory twitches back to the lagging arm."""
    arm = controller(from_desired=from_desired)
    arm.hold(np.array([1.0, 1.0]), 0)
    arm.update(S - PERIOD, REST)
    arm.follow(Trajectory(JOINTS, points((1.0, (2.0, 2.0)))), S)
    measured = State(np.array([0.4, 0.4]), np.zeros(2))
    assert np.allclose(arm.update(S, measured), [first, first], atol=0.03)
    assert np.allclose(run(arm, S + PERIOD, 2 * S)[2 * S], [2.0, 2.0])


def test_bridge_keeps_the_speed_of_the_set_point():
    arm = controller()
    moving = points((1.0, (0.0, 0.0), (1.0, 1.0)), (2.0, (1.0, 1.0), (0.0, 0.0)))
    arm.follow(Trajectory(JOINTS, moving), 0)
    track = run(arm, 0, S + S // 2)
    before = (track[S + S // 2] - track[S + S // 2 - PERIOD]) / 0.01
    arm.follow(Trajectory(JOINTS, points((0.5, (1.1, 1.1), (0.0, 0.0)))), S + S // 2)
    track |= run(arm, S + S // 2, 2 * S)
    after = (track[S + S // 2 + 2 * PERIOD] - track[S + S // 2 + PERIOD]) / 0.01
    assert np.allclose(before, after, atol=0.15)
    assert before[0] > 0.5


def test_points_partly_past_make_it_jump_onto_the_curve():
    arm = controller()
    rows = points((0.0, (0.0, 0.0)), (1.0, (1.0, 1.0)), (2.0, (3.0, 3.0)))
    arm.follow(Trajectory(JOINTS, rows, stamp=10 * S), 11 * S + S // 2)
    assert np.allclose(arm.update(11 * S + S // 2 - PERIOD, REST), [2.0, 2.0])


def test_a_stamp_in_the_future_is_bridged_to():
    arm = controller()
    arm.update(9 * S, REST)
    arm.follow(
        Trajectory(JOINTS, points((0.0, (1.0, 1.0)), (1.0, (1.0, 1.0))), stamp=11 * S), 9 * S
    )
    track = run(arm, 9 * S, 13 * S)
    assert np.allclose(track[10 * S], [0.5, 0.5], atol=0.02)
    assert np.allclose(track[11 * S], [1.0, 1.0])


def test_a_trajectory_of_the_same_motion_that_begins_in_the_past_is_no_seam():
    """The point before now is on the old path: whatever the flag, set points go on as they did."""
    rows = [(k / 50, (np.sin(k / 50), k / 50), (np.cos(k / 50), 1.0)) for k in range(200)]
    rows.append((4.0, (np.sin(4.0), 4.0), (0.0, 0.0)))
    whole = Trajectory(JOINTS, points(*rows), stamp=10 * S)
    late = 11 * S + S // 100 + 3
    rest_of_it = dataclasses.replace(
        whole,
        points=tuple(
            dataclasses.replace(point, time=point.time - S)
            for point in whole.points
            if point.time >= S
        ),
        stamp=11 * S,
    )
    tracks = []
    for from_desired in (True, False):
        arm = controller(from_desired=from_desired)
        arm.follow(whole, 10 * S)
        run(arm, 10 * S, late)
        arm.follow(rest_of_it, late)
        tracks.append(run(arm, late, 13 * S))
    undisturbed = controller()
    undisturbed.follow(whole, 10 * S)
    run(undisturbed, 10 * S, late)
    expected = run(undisturbed, late, 13 * S)
    for track in tracks:
        assert all(np.allclose(track[t], expected[t], atol=1e-9) for t in expected)


@pytest.mark.parametrize("early", [S // 50, -S // 50])
def test_another_clock_shifts_a_stamped_trajectory_by_the_difference(early):
    """The controller reads `early` ns more than the sender: it is so far ahead on the path."""
    arm = controller()
    rows = points((0.0, (0.0, 0.0), (0.0, 0.0)), (2.0, (2.0, -2.0), (0.0, 0.0)))
    arm.update(10 * S + early - PERIOD, REST)
    arm.follow(Trajectory(JOINTS, rows, stamp=10 * S), 10 * S + early)
    track = run(arm, 10 * S + early, 13 * S)
    middle = 11 * S + early
    u = (1 + early / S) / 2
    assert np.allclose(track[middle], 2 * (3 * u**2 - 2 * u**3) * np.array([1, -1]), atol=1e-6)


def moving_arm(**options) -> tuple[ArmController, int]:
    """A controller half way through a trajectory, and the time."""
    arm = controller(**options)
    arm.follow(Trajectory(JOINTS, points((1.0, (1.0, -1.0)), (2.0, (2.0, -2.0)))), 0)
    run(arm, 0, S)
    return arm, S


def test_an_inactive_controller_keeps_its_last_set_point_and_ignores_commands():
    arm, now = moving_arm()
    arm.deactivate()
    arm.follow(GOOD, now)
    arm.stream([9.0, 9.0], now)
    track = run(arm, now, now + S)
    assert all(np.allclose(point, [1.0, -1.0]) for point in track.values())


def test_an_inactive_controller_refuses_what_an_active_one_refuses():
    arm, now = moving_arm()
    arm.deactivate()
    with pytest.raises(ValueError, match="at least one point"):
        arm.follow(dataclasses.replace(GOOD, points=()), now)
    with pytest.raises(ValueError, match="2 positions, got 1"):
        arm.stream([1.0], now)


@pytest.mark.parametrize(("from_command", "held"), [(True, [1.0, -1.0]), (False, [0.4, -0.3])])
def test_an_activated_controller_holds_at_the_arm_or_at_its_last_set_point(from_command, held):
    arm, now = moving_arm(from_command=from_command)
    arm.deactivate()
    run(arm, now, now + S)
    measured = State(np.array([0.4, -0.3]), np.zeros(2))
    arm.activate(now + S, measured)
    track = run(arm, now + S, now + 3 * S, measured)
    assert all(np.allclose(point, held) for point in track.values())


def test_after_activation_an_unstamped_trajectory_is_bridged_to_from_where_it_holds():
    arm, now = moving_arm(from_command=False)
    arm.deactivate()
    measured = State(np.array([0.4, -0.3]), np.zeros(2))
    arm.activate(now, measured)
    arm.update(now, measured)
    arm.follow(Trajectory(JOINTS, points((1.0, (1.4, 0.7), (0.0, 0.0)))), now + PERIOD)
    track = run(arm, now + PERIOD, now + 2 * S, measured)
    line = np.array([track[t] for t in sorted(track)])
    assert np.allclose(line[0], [0.4, -0.3], atol=2e-3)
    assert np.allclose(line[-1], [1.4, 0.7])
    assert np.abs(np.diff(line, axis=0)).max() < 1.5 * PERIOD / S * 1.05


def test_after_activation_a_trajectory_that_begins_in_the_past_makes_it_jump():
    """Why the first motion after any gap must be a bridged one."""
    arm, now = moving_arm(from_command=False)
    arm.deactivate()
    measured = State(np.array([0.4, -0.3]), np.zeros(2))
    arm.activate(now, measured)
    arm.update(now, measured)
    rows = points((0.0, (1.0, -1.0), (0.0, 0.0)), (1.0, (2.0, -2.0), (0.0, 0.0)))
    arm.follow(Trajectory(JOINTS, rows, stamp=now - PERIOD), now + PERIOD)
    assert arm.update(now + PERIOD, measured)[0] > 0.99


GOOD = Trajectory(JOINTS, points((0.5, (1.0, 1.0), (0.1, 0.0)), (1.0, (2.0, 2.0), (0.0, 0.0))))
ONE = GOOD.points[-1]
REFUSED = {
    "joints \\['a', 'b'\\], got \\['a'\\]": dataclasses.replace(GOOD, joints=("a",)),
    "got \\['a', 'c'\\]": dataclasses.replace(GOOD, joints=("a", "c")),
    "got \\['a', 'a'\\]": dataclasses.replace(GOOD, joints=("a", "a")),
    "got \\['a', 'b', 'c'\\]": dataclasses.replace(GOOD, joints=("a", "b", "c")),
    "got \\[\\]": dataclasses.replace(GOOD, joints=()),
    "at least one point": dataclasses.replace(GOOD, points=()),
    "points 0 and 1 are at 1.0 and 1.0 s": dataclasses.replace(GOOD, points=(ONE, ONE)),
    "points 0 and 1 are at 1.0 and 0.5 s": dataclasses.replace(
        GOOD, points=(ONE, dataclasses.replace(ONE, time=S // 2))
    ),
    "last point must be at rest, b moves at 0.2": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0), (0.0, -0.2)))
    ),
    "wholly in the past, it ended 0.500 s ago": dataclasses.replace(GOOD, stamp=7 * S + S // 2),
    "point 0: expected 2 positions, got 1": dataclasses.replace(GOOD, points=points((1.0, (0.0,)))),
    "point 0: expected 2 positions, got 0": dataclasses.replace(GOOD, points=points((1.0, ()))),
    "expected 2 velocities, got 3": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0), (0, 0, 0)))
    ),
    "expected 2 accelerations, got 1": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0), (0, 0), (0,)))
    ),
    "point 0: positions: expected finite": dataclasses.replace(
        GOOD, points=points((1.0, (0.0, float("nan"))))
    ),
    "velocities: expected finite": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0), (0, float("inf"))))
    ),
    "accelerations need velocities": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0), (), (0, 0)))
    ),
    "effort is not supported": dataclasses.replace(
        GOOD, points=points((1.0, (0, 0)), effort=(1.0, 1.0))
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_the_controller_refuses_leaves_the_running_trajectory_alone(reason):
    arm = controller()
    arm.follow(Trajectory(JOINTS, points((1.0, (5.0, 5.0))), stamp=9 * S), 9 * S)
    arm.update(9 * S - PERIOD, REST)
    with pytest.raises(ValueError, match=reason) as caught:
        arm.follow(REFUSED[reason], 9 * S)
    assert "\n" not in str(caught.value)
    assert np.allclose(run(arm, 9 * S, 11 * S)[11 * S], [5.0, 5.0])


def test_options_of_the_controller():
    moving = dataclasses.replace(GOOD, points=points((1.0, (1.0, 2.0), (0.0, -0.2))))
    arm = controller(moving_end=True)
    arm.follow(moving, 0)
    assert np.allclose(run(arm, 0, 2 * S)[2 * S], [1.0, 2.0])


def test_a_stream_of_positions_takes_effect_at_once_and_ends_a_trajectory():
    arm = controller()
    arm.follow(GOOD, 0)
    arm.update(0, REST)
    arm.stream([0.2, 0.3], PERIOD)
    assert np.allclose(run(arm, PERIOD, 3 * S)[3 * S], [0.2, 0.3])
    for wrong, reason in (([1.0], "2 positions, got 1"), ([1.0, float("nan")], "finite")):
        with pytest.raises(ValueError, match=reason):
            arm.stream(wrong, 3 * S)
    assert np.allclose(arm.update(3 * S, REST), [0.2, 0.3])


def robot() -> Robot:
    made = Robot(controller(), "finger")
    made.hold(np.array([1.0, 2.0]), 0.5, 0)
    return made


def test_joint_commands_by_name_may_name_some_joints():
    both = robot()
    both.command(["finger", "b"], [0.1, 5.0], 0)
    arm, finger = both.update(0, REST)
    assert np.allclose(arm, [1.0, 5.0])
    assert finger == 0.1
    both.command(["a"], [3.0], PERIOD)
    arm, finger = both.update(PERIOD, REST)
    assert np.allclose(arm, [3.0, 5.0])
    assert finger == 0.1


@pytest.mark.parametrize(
    ("names", "positions", "reason"),
    [
        (["a", "c"], [0.0, 0.0], "joints \\['a', 'b', 'finger'\\], each once, got \\['a', 'c'\\]"),
        (["a", "a"], [0.0, 0.0], "each once"),
        ([], [], "each once"),
        (["a", "b"], [0.0], "2 names but 1 positions"),
        (["a"], [float("inf")], "finite"),
    ],
)
def test_wrong_joint_commands_are_refused(names, positions, reason):
    both = robot()
    with pytest.raises(ValueError, match=reason):
        both.command(names, positions, 0)
    arm, finger = both.update(0, REST)
    assert np.allclose(arm, [1.0, 2.0])
    assert finger == 0.5


def test_gripper_takes_one_finite_position_and_leaves_the_arm_alone():
    both = robot()
    both.arm.follow(GOOD, 0)
    both.grip([0.8])
    arm, finger = both.update(0, REST)
    assert finger == 0.8
    assert not np.allclose(arm, [1.0, 2.0])
    for wrong in ([], [0.1, 0.2], [float("nan")]):
        with pytest.raises(ValueError, match="finger"):
            both.grip(wrong)
    assert both.update(PERIOD, REST)[1] == 0.8
