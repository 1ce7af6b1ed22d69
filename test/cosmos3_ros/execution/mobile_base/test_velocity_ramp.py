# SPDX-License-Identifier: Apache-2.0
"""Velocities of a base: within limits at every step, along the curve, and zero in silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_ros.execution.mobile_base.velocity_ramp import VelocityRamp
from cosmos3_ros.model.interface import NS

VELOCITY, ACCELERATION = np.array([1.0, 0.5, 2.0]), np.array([2.0, 1.0, 4.0])
PERIOD = NS // 50
BEGIN = 10 * NS


@pytest.fixture
def ramp() -> VelocityRamp:
    made = VelocityRamp(VELOCITY, ACCELERATION)
    made.step(None, BEGIN)
    return made


def test_it_gets_there_within_the_acceleration_and_stays(ramp: VelocityRamp) -> None:
    wanted = np.array([0.8, 0.0, 0.0])
    steps = [ramp.step(wanted, BEGIN + k * PERIOD)[0] for k in range(1, 40)]
    assert np.diff([0.0, *steps]).max() == pytest.approx(2.0 / 50)
    assert steps[19] == pytest.approx(0.8)
    assert steps[-1] == 0.8


def test_a_base_that_is_to_be_too_fast_keeps_to_its_curve(ramp: VelocityRamp) -> None:
    for k in range(1, 100):
        speeds = ramp.step(np.array([4.0, 0.0, 2.0]), BEGIN + k * PERIOD)
    assert speeds == pytest.approx([1.0, 0.0, 0.5])


def test_nothing_wanted_is_a_stop_within_the_limits(ramp: VelocityRamp) -> None:
    for k in range(1, 50):
        ramp.step(np.array([1.0, 0.0, 0.0]), BEGIN + k * PERIOD)
    stop = [ramp.step(None, BEGIN + k * PERIOD)[0] for k in range(50, 80)]
    assert np.diff([1.0, *stop]).min() >= -2.0 / 50 - 1e-9
    assert stop[-1] == 0.0
    assert not ramp.is_moving


@pytest.mark.parametrize("pause", [NS, -NS])
def test_after_a_pause_it_begins_anew(ramp: VelocityRamp, pause: int) -> None:
    for k in range(1, 50):
        ramp.step(np.array([1.0, 0.0, 0.0]), BEGIN + k * PERIOD)
    later = BEGIN + 49 * PERIOD + pause
    assert ramp.step(np.array([1.0, 0.0, 0.0]), later)[0] == 0.0
    assert ramp.step(np.array([1.0, 0.0, 0.0]), later + PERIOD)[0] == pytest.approx(2.0 / 50)


WISHES = st.lists(
    st.none() | st.tuples(*(st.floats(-1e6, 1e6) for _ in range(3))), min_size=1, max_size=40
)


@given(WISHES, st.lists(st.integers(0, NS // 5), min_size=40, max_size=40))
def test_no_wish_leads_beyond_a_limit(wishes: list[tuple[float, ...] | None], gaps: list[int]):
    ramp, now, before = VelocityRamp(VELOCITY, ACCELERATION), BEGIN, np.zeros(3)
    ramp.step(None, now)
    for wish, gap in zip(wishes, gaps, strict=False):
        now += gap
        speeds = ramp.step(None if wish is None else np.array(wish), now)
        assert (np.abs(speeds) <= VELOCITY * (1 + 1e-9)).all()
        assert (np.abs(speeds - before) <= ACCELERATION * gap / NS * (1 + 1e-9) + 1e-12).all()
        before = speeds
