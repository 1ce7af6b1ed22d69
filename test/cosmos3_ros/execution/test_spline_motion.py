# SPDX-License-Identifier: Apache-2.0
"""Motions keep position, speed, acceleration and jerk limits at every moment, and end at rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos3_ros.execution.spline_motion import STEP, Limits, SplineMotion, brake, follow, rest
from cosmos3_ros.model.interface import NS, ActionChunk

N = 3
NAMES = ("a", "b", "c")
LIMITS = Limits(
    np.full(N, -2.0),
    np.full(N, 2.0),
    np.array([1.0, 2.0, 3.0]),
    np.array([4.0, 8.0, 12.0]),
    np.array([60.0, 100, 400]),
)


def chunk_of(values: np.ndarray, stamp: int = 0) -> ActionChunk:
    return ActionChunk(values.astype(np.float32), NAMES, stamp, NS // 15)


def sample(motion: SplineMotion, begin: int) -> np.ndarray:
    """Positions every ms from `begin` to the end, as a controller would ask for them."""
    return motion.at(np.arange(begin, motion.end + NS // 100, NS // 1000))[0]


def check(positions: np.ndarray, dt: float = 1e-3) -> None:
    """Independent of the splines: sampled positions and their differences.

    Differences of floats are rough.
    """
    assert (positions >= LIMITS.lower - 1e-9).all()
    assert (positions <= LIMITS.upper + 1e-9).all()
    for order, most in enumerate(LIMITS.derivatives(), start=1):
        change = np.diff(positions, order, axis=0) / dt**order
        assert (np.abs(change) <= most * (1 + 1e-5) + 1e-13 / dt**order).all(), (
            f"difference of order {order}"
        )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 2.0), st.floats(0.0, 1.5), st.booleans())
def test_chunk_after_chunk_and_a_stop_keep_every_limit_across_the_seams(
    seed: int, size: float, late: float, stop: bool
) -> None:
    """Set points of three chunks at random moments, each up to 1.5 s late, then perhaps a stop."""
    random = np.random.default_rng(seed)
    motion, now = rest(random.uniform(-1.5, 1.5, N), 0), 0
    line = []
    for _ in range(3):
        values = np.clip(
            motion.at(now)[0] + random.normal(scale=size, size=(32, N)).cumsum(0) / 8, -2, 2
        )
        try:
            new = follow(chunk_of(values, now - int(late * NS)), motion, now, LIMITS)
        except ValueError:
            new = motion
        step = int(random.uniform(0.05, 1.0) * 1000) * (NS // 1000)
        line.append(new.at(np.arange(now, now + step, NS // 1000))[0])
        motion, now = new, now + step
    last = brake(motion, now, LIMITS) if stop else motion
    assert last.end <= max(motion.end, now + 4 * NS + 3 * STEP)
    assert np.ptp(last.points[-3:], axis=0).max() < 1e-11
    check(np.vstack([*line, sample(last, now)]))
    assert np.allclose(last.at(last.end + NS)[1], 0)


def test_every_derivative_of_the_samples_is_checked() -> None:
    """The check itself notices a violation of each limit."""
    time = np.arange(0, 0.2, 1e-3)[:, None]
    for power, most in ((1, 3.1), (2, 12.1 / 2), (3, 401 / 6)):
        with pytest.raises(AssertionError):
            check(most * time**power * np.ones(N))


def test_a_gentle_chunk_is_followed_closely_and_on_time() -> None:
    times = np.arange(1, 33) / 15
    path = 0.3 * np.sin(2 * times)[:, None] * np.ones(N)
    motion = follow(chunk_of(path), rest(np.zeros(N), 0), 0, LIMITS)
    assert motion.pace == 1.0
    for time, row in zip(times[15:-5], path[15:-5], strict=True):
        assert np.abs(motion.at(int(time * NS))[0] - row).max() < 0.01
    assert np.allclose(motion.points[-1], path[-1], atol=1e-6)


def test_a_chunk_that_is_too_fast_is_followed_slower_along_the_same_path() -> None:
    """Three joints that go the same way stay together, though only one is at its limit."""
    path = np.linspace(0, 1.5, 8)[:, None] * np.ones(N)  # 3.2 rad/s, one joint can do 1
    motion = follow(chunk_of(path), rest(np.zeros(N), 0), 0, LIMITS)
    assert 0.1 < motion.pace < 0.31
    positions = sample(motion, motion.end - NS // 2)
    assert np.ptp(positions, axis=1).max() < 1e-6
    assert np.allclose(positions[-1], 1.5, atol=1e-6)
    check(positions)


def test_a_chunk_whose_rows_all_lie_ahead_begins_smoothly() -> None:
    values = np.linspace(0.1, 0.6, 16)[:, None] * np.ones(N)
    for early in (0, STEP // 2, NS // 25):
        motion = follow(chunk_of(values, NS + early), rest(values[0], 7), NS, LIMITS)
        assert motion.pace == 1.0


def test_joints_that_are_off_by_more_and_by_less_arrive_together() -> None:
    off = np.array([0.2, 0.02, -0.002])
    motion = follow(chunk_of(np.zeros((32, N))), rest(off, 0), 0, LIMITS)
    positions, _ = motion.at(np.arange(0, motion.end, NS // 100))
    assert np.allclose(positions / off, positions[:, :1] / off[0], atol=1e-4)  # straight there
    assert np.abs(positions[-1]).max() < 1e-6


def test_rows_that_are_past_are_skipped() -> None:
    values = np.linspace(0, 0.5, 16)[:, None] * np.ones(N)
    now = NS // 2
    motion = follow(chunk_of(values), rest(values[7], now), now, LIMITS)
    positions = sample(motion, now)
    assert (np.diff(positions, axis=0) >= -1e-9).all(), "it must not go back to rows that are over"
    assert np.allclose(positions[-1], values[-1], atol=1e-6)


@pytest.mark.parametrize("left", [1, 2, 5, 9, 10, 11, 15, 20, 21])
@pytest.mark.parametrize("rows", [1, 2, 16])
def test_the_last_milliseconds_of_a_chunk_are_followed_too(rows: int, left: int) -> None:
    """From rest or out of a motion, it comes to rest at the last row, within the limits."""
    values = 0.3 + 0.005 * np.arange(rows)[:, None] * np.ones(N)
    moving = follow(
        chunk_of(np.linspace(0, 0.5, 16)[:, None] * np.ones(N)), rest(np.zeros(N), 0), 0, LIMITS
    )
    now = NS // 2
    chunk = chunk_of(values, now + left * NS // 1000 - rows * (NS // 15))
    for before in (rest(np.full(N, 0.31), now), moving):
        motion = follow(chunk, before, now, LIMITS)
        assert np.allclose(motion.at(motion.end)[0], values[-1], atol=1e-6)
        check(np.vstack([before.at(np.arange(0, now, NS // 1000))[0], sample(motion, now)]))


def test_a_chunk_that_is_over_is_refused() -> None:
    with pytest.raises(ValueError, match=r"last row was due 0\.933 s ago"):
        follow(chunk_of(np.zeros((1, N))), rest(np.zeros(N), 0), NS, LIMITS)


def test_a_chunk_that_cannot_be_played_is_refused_with_the_joints_name() -> None:
    wild = np.zeros((16, N))
    wild[::2, 1] = 2.0
    with pytest.raises(ValueError, match=r"^b: cannot be followed within the limits"):
        follow(chunk_of(wild * 1000), rest(np.zeros(N), 0), 0, LIMITS)


def test_braking_is_quick_and_goes_on_in_the_same_direction() -> None:
    path = np.linspace(0, 1.5, 32)[:, None] * np.ones(N)
    motion = follow(chunk_of(path), rest(np.zeros(N), 0), 0, LIMITS)
    now = NS
    stopped = brake(motion, now, LIMITS)
    position, velocity = motion.at(now)
    assert (velocity > 0.5).all()
    assert stopped.end - now < 0.6 * NS
    assert (stopped.points[-1] > position).all()
    assert np.allclose(stopped.at(now)[0], position)
    check(sample(stopped, now))


def test_a_resting_motion_brakes_to_itself() -> None:
    stopped = brake(rest(np.ones(N), 0), 5 * NS, LIMITS)
    assert np.allclose(stopped.at(6 * NS)[0], 1)


def test_a_joint_outside_its_range_may_come_back() -> None:
    motion = follow(chunk_of(np.zeros((32, N))), rest(np.array([2.1, 0, 0]), 0), 0, LIMITS)
    positions = sample(motion, 0)
    assert positions.max() <= 2.1 + 1e-9
    assert np.allclose(positions[-1], 0, atol=1e-6)


def test_knots_are_the_motion() -> None:
    motion = follow(
        chunk_of(np.linspace(0, 0.3, 16)[:, None] * np.ones(N)), rest(np.zeros(N), 5), 5, LIMITS
    )
    times, positions, velocities = motion.knots(NS // 3)
    assert times[0] > NS // 3
    assert times[-1] == motion.end
    for time, position, velocity in zip(times, positions, velocities, strict=True):
        assert np.allclose(motion.at(int(time)), (position, velocity))


@pytest.mark.parametrize("rate", [15, 60, 100, 250])
def test_set_points_at_any_rate_are_those_of_one_curve_with_its_velocities(rate: int) -> None:
    """Set points of any rate agree at the rows of 15 Hz, and velocities are the slopes."""
    rows = 0.3 * np.sin(np.arange(1, 33) / 15)[:, None] * np.ones(N)
    motion = follow(chunk_of(rows), rest(np.zeros(N), 0), 0, LIMITS)
    times = np.arange(0, 2 * NS, NS // rate)
    positions, velocities = motion.at(times)
    assert np.allclose(
        velocities,
        (motion.at(times + 1000)[0] - motion.at(np.maximum(times - 1000, 0))[0]) / 2e-6,
        atol=1e-3,
    )
    merged = (times > NS) & (times < 1.7 * NS)
    assert np.abs(positions - 0.3 * np.sin(times / NS)[:, None])[merged].max() < 0.005
    check(positions, 1 / rate)


def test_limits_say_what_is_wrong() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="equal lengths"):
        Limits(np.zeros(2), np.ones(3), np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="lower < upper"):
        Limits(one, one, one, one, one)
    with pytest.raises(ValueError, match="positive"):
        Limits(-one, one, one, one, 0 * one)
