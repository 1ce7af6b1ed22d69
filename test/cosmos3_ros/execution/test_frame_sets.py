# SPDX-License-Identifier: Apache-2.0
"""Sets of frames: new and close together; what is awaited is what the cameras' rhythm promises."""

import random

import pytest

from cosmos3_ros.execution.frame_sets import PAYS, Frames, Rhythm, wait_until

SKEW = 50


def frames(*cameras: list[int], known: int = 10_000) -> Frames:
    """Joint states are at hand until `known`."""
    return Frames(cameras, lambda moment: max(0, moment - known))


def test_new_and_close_is_best() -> None:
    made = frames([100, 133, 166], [101, 134], [99, 132])
    best = made.best_set(-1, SKEW)
    assert best
    assert (best.stamps, best.oldest, best.spread) == ((133, 134, 132), 132, 2)
    newer = made.best_set(132, SKEW)
    assert newer is None, "the third camera has nothing after 132"


def test_a_set_is_never_further_apart_than_allowed() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        cameras = [sorted(chance.sample(range(300), 5)) for _ in range(3)]
        best = frames(*cameras).best_set(-1, SKEW)
        spreads = [
            max(a, b, c) - min(a, b, c) for a in cameras[0] for b in cameras[1] for c in cameras[2]
        ]
        assert (best is not None) == (min(spreads) <= SKEW)
        if best:
            assert max(best.stamps) - min(best.stamps) == best.spread <= SKEW
        closest = frames(*cameras).closest()
        assert closest
        assert max(closest) - min(closest) == min(spreads)


def test_an_older_set_is_taken_if_joint_states_are_that_late() -> None:
    best = frames([100, 160, 220], [101, 161, 221], known=110).best_set(-1, SKEW)
    assert best
    assert (best.oldest, best.distance) == (100, 0)


def test_without_a_frame_of_each_camera_there_is_no_set() -> None:
    assert frames([100], []).best_set(-1, SKEW) is None
    assert frames([100], []).closest() is None


def test_the_rhythm_of_a_camera_outlives_drops_and_knows_what_is_lost() -> None:
    moments = [(k * 100, k * 100 + 30) for k in (0, 1, 2, 4, 5, 6)]
    rhythm = Rhythm.of(moments)
    assert rhythm == Rhythm(600, 100, 30, 0)
    assert rhythm.expected(640, 2) == [(700, 730, 780), (800, 830, 880)]
    assert rhythm.expected(740, 1) == [(700, 740, 780)], "late, but it may still come"
    assert rhythm.expected(780, 1) == [(800, 830, 880)], "lost"
    assert Rhythm.of(moments[:1]) is None


@pytest.mark.parametrize(("worst", "patience"), [(20, 50), (60, 60), (300, 100)])
def test_a_message_is_awaited_as_long_as_others_were_late(worst: int, patience: int) -> None:
    moments = [(k * 100, k * 100 + 30 + worst * (k == 3)) for k in range(8)]
    rhythm = Rhythm.of(moments)
    assert rhythm is not None
    assert rhythm.patience == patience, "a lost one costs a period at most"
    assert rhythm.expected(830 + patience - 1, 1)[0][0] == 800
    assert rhythm.expected(830 + patience, 1)[0][0] == 900


@pytest.mark.parametrize(("late", "waits"), [(1, True), (15, True), (40, False)])
def test_the_rest_of_a_set_is_awaited_only_if_it_comes_soon(late: int, waits: bool) -> None:
    """Of two cameras with a period of 100 the first one has its next frame."""
    made = frames([0, 100], [0])
    found = made.best_set(-1, SKEW)
    assert found
    rhythms = [Rhythm(100, 100, 30, 0), Rhythm(late, 100, 30, 0)]
    made = frames([0, 100], [late])
    found = made.best_set(-1, SKEW)
    assert found
    until = wait_until(131, made, found, rhythms, None, -1, SKEW)
    assert until == (late + 130 + 50 if waits else 131)
    gain = 100  # of newness, with the same spread
    assert waits == (PAYS * (late - 1) < gain)


def test_joint_states_are_awaited_too() -> None:
    """Of a simulation that publishes its pictures first: all of 60 Hz, in nanoseconds."""
    period, now = 16_666_667, 10**9 + 1000
    made = frames([now - 1000], known=now - 1000 - period)
    found = made.best_set(-1, 3 * period)
    assert found
    assert found.distance == period
    joints = Rhythm(now - 1000 - period, period, 2000, 0)
    until = wait_until(now, made, found, [Rhythm(now - 1000, period, 0, 0)], joints, -1, 3 * period)
    assert until == now + 1000 + period // 2
