# SPDX-License-Identifier: Apache-2.0
"""First observations that cannot be, or are unlike the demonstrations; good ones pass."""

import dataclasses
import re

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.observed import observe, sketch
from cosmos3_ros.model.embodiment.plausibility import (
    check_gripper,
    check_pictures,
    check_states,
    doubts,
)

RNG = np.random.default_rng(0)
DROID_SIM = EMBODIMENTS["droid_sim"]
REST = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 2.0, 0.0, 0.05], np.float32)
PICTURES = {
    view: np.kron(RNG.integers(0, 256, (6, 8, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    for view in DROID_SIM.views
}


@pytest.fixture(scope="module")
def known():
    """The simulated arm after demonstrations around its rest, which begin with an open gripper."""
    episodes = [REST + RNG.uniform(-0.2, 0.2, (30, 8)) for _ in range(5)]
    for episode in episodes:
        episode[:, 7] = np.linspace(0.0, 1.0, 30)
    return dataclasses.replace(
        DROID_SIM, observed=observe(episodes, {view: [p] for view, p in PICTURES.items()})
    )


def test_what_demonstrations_show_is_kept(known):
    seen = known.observed
    assert (seen.low[7], seen.high[7], seen.first_low[7], seen.first_high[7]) == (0, 1, 0, 0)
    assert seen.low[3] == pytest.approx(-2.7, abs=0.02)
    assert [view for view, _ in seen.sketches] == [*DROID_SIM.views]
    wrist = np.array(dict(seen.sketches)["wrist"])
    np.testing.assert_allclose(wrist, sketch(PICTURES["wrist"]), atol=0.6)


def test_good_observations_pass(known):
    check_states(REST, DROID_SIM.state)
    check_pictures(PICTURES)
    check_gripper("finger", 0.85, 0.0, 0.8)  # a driver that closes a little further
    check_gripper("finger", float("nan"), 0.0, 0.8)
    brighter = {view: (picture // 2 + 90) for view, picture in PICTURES.items()}
    for pictures in (PICTURES, brighter):
        assert doubts(known, REST, pictures) == ""
    assert doubts(DROID_SIM, REST + 100, PICTURES) == ""  # nothing is known


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (
            lambda: check_states(np.rad2deg(REST), DROID_SIM.state),
            r"panda_joint2 is at 34.4 rad, expected at most 12.6: are these degrees\?",
        ),
        (
            lambda: check_states(np.array([300.0, 0, 0, 0, 0, 0, 1, 0]), EMBODIMENTS["umi"].state),
            r"x is at 300.0 m, expected at most 10: are these mm\?",
        ),
        (
            lambda: check_states(np.zeros((1, 8)), EMBODIMENTS["umi"].state),
            "qx, qy, qz, qw: expected a unit quaternion, got one of length 0.000",
        ),
        (
            lambda: check_gripper("finger", 45.0, 0.0, 0.8),
            r"finger is at 45.000, expected from 0.0 \(open\) to 0.8 \(closed\)",
        ),
        (
            lambda: check_pictures({**PICTURES, "exterior_2": PICTURES["exterior_1"].copy()}),
            "cameras exterior_1 and exterior_2 show the same picture",
        ),
    ],
)
def test_what_cannot_be_is_refused(check, words):
    with pytest.raises(ValueError, match=words):
        check()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (np.deg2rad(REST), "panda_joint2 is at -0.010, .* rad where degrees are expected"),
        (np.rad2deg(REST) * 0.9, "panda_joint2 is at -30.940, .* degrees where rad are expected"),
        (
            np.where(np.arange(8) == 3, 2.5, REST),
            "panda_joint4 is at 2.500, .* sign looks",
        ),
        (np.where(np.arange(8) == 0, 1.5, REST), r"joint1 is at 1.500, in the .* to 0.195$"),
        (np.where(np.arange(8) == 7, 0.97, REST), "gripper is 0.97 closed, .* open and closed exc"),
    ],
)
def test_what_is_unlike_the_demonstrations_is_said(known, state, words):
    assert re.search(words, doubts(known, state, PICTURES)), doubts(known, state, PICTURES)


def test_exchanged_cameras_are_said(known):
    swapped = {
        **PICTURES,
        "wrist": PICTURES["exterior_2"],
        "exterior_2": PICTURES["wrist"],
    }
    assert doubts(known, REST, swapped).startswith("cameras wrist and exterior_2 look exchanged")
