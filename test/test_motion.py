# SPDX-License-Identifier: Apache-2.0
"""Motions keep the limits, follow the path where they can, and end at rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.motion import STEP, Limits, Motion, brake, follow

N = 3
LIMITS = Limits(np.full(N, -2.0), np.full(N, 2.0), np.array([1.0, 2.0, 3.0]), np.array([4.0, 8.0, 12.0]))


def chunk_of(values: np.ndarray, stamp: int = 0) -> ActionChunk:
    return ActionChunk(values.astype(np.float32), ("a", "b", "c"), stamp, NS // 15)


def check(motion: Motion) -> None:
    """Positions, speeds and accelerations, of the samples themselves and of what they say, are within the limits."""
    dt = STEP / NS
    assert (motion.positions >= LIMITS.lower - 1e-9).all()
    assert (motion.positions <= LIMITS.upper + 1e-9).all()
    assert (np.abs(motion.velocities) <= LIMITS.velocity + 1e-9).all()
    assert (np.abs(np.diff(motion.positions, axis=0)) <= LIMITS.velocity * dt + 1e-9).all()
    assert (np.abs(np.diff(motion.velocities, axis=0)) <= LIMITS.acceleration * dt * 1.01 + 1e-9).all()
    assert (motion.velocities[-1] == 0).all()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 5.0), st.floats(0.0, 1.9))
def test_any_chunk_becomes_a_motion_within_the_limits(seed: int, size: float, late: float) -> None:
    random = np.random.default_rng(seed)
    rows = int(late * 15) + 1 + random.integers(1, 20)
    position, velocity = random.uniform(-1.5, 1.5, N), random.uniform(-0.5, 0.5, N)
    motion = follow(chunk_of(random.normal(scale=size, size=(rows, N))), position, velocity, int(late * NS), LIMITS)
    assert np.allclose(motion.positions[0], position)
    check(motion)


def test_a_gentle_chunk_is_followed_closely() -> None:
    times = np.arange(1, 33) / 15
    path = 0.3 * np.sin(2 * times)[:, None] * np.ones(N)
    start = np.zeros(N)
    motion = follow(chunk_of(path), start, np.full(N, 0.6), 0, LIMITS)
    for time, row in zip(times[3:-3], path[3:-3], strict=True):
        assert np.abs(motion.at(int(time * NS))[0] - row).max() < 0.01


def test_rows_that_are_past_are_skipped() -> None:
    values = np.linspace(0, 1.6, 16)[:, None] * np.ones(N)
    now = NS // 2
    motion = follow(chunk_of(values), values[7], np.zeros(N), now, LIMITS)
    assert motion.start == now
    assert (motion.positions >= values[7] - 1e-9).all(), "it must not go back to rows that are over"
    assert np.allclose(motion.positions[-1], values[-1], atol=1e-3)


def test_a_chunk_that_is_over_is_refused() -> None:
    with pytest.raises(ValueError, match=r"last row was due 0\.933 s ago"):
        follow(chunk_of(np.zeros((1, N))), np.zeros(N), np.zeros(N), NS, LIMITS)


def test_braking_comes_to_rest_within_the_limits() -> None:
    motion = brake(np.zeros(N), np.array([1.0, -2.0, 0.5]), 7, LIMITS)
    check(motion)
    assert np.allclose(motion.positions[-1], [0.25, -0.5, 0.5**2 / 12], atol=1e-6)


def test_at_is_continuous_and_at_rest_after_the_end() -> None:
    motion = brake(np.zeros(N), np.array([1.0, -2.0, 0.5]), 0, LIMITS)
    position, velocity = motion.at(motion.end + NS)
    assert np.allclose(position, motion.positions[-1])
    assert (velocity == 0).all()


def test_limits_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        Limits(np.zeros(2), np.ones(3), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="lower < upper"):
        Limits(np.ones(1), np.ones(1), np.ones(1), np.ones(1))
