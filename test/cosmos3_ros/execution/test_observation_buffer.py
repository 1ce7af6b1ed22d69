# SPDX-License-Identifier: Apache-2.0
"""Pictures of one moment, joints interpolated to it; what is missing, old or apart is named."""

import math
import random

import numpy as np
import pytest

from cosmos3_ros.execution.observation_buffer import MOST_FRAMES, STATE, ObservationBuffer, Sample
from cosmos3_ros.execution.replanner import Replanner, ReplanRules
from cosmos3_ros.execution.strategies import find_strategy
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.robot.joint_states import JointStates

MS = NS // 1000


def buffer(**settings: JointStates) -> ObservationBuffer:
    return ObservationBuffer(("left", "right"), max_age=500 * MS, max_skew=50 * MS, **settings)


def fill(b: ObservationBuffer, **stamps: int) -> None:
    """Messages received 5 ns after their stamps (ms); a state is the number of its stamp."""
    for name, stamp in stamps.items():
        if name == "state":
            b.add(STATE, stamp * MS, stamp * MS + 5, stamp)
        else:
            b.add(name, stamp * MS, stamp * MS + 5, f"{name}@{stamp}")


def test_the_newest_moment_that_all_streams_show_is_taken() -> None:
    b = buffer()
    for stamp in (1000, 1066):
        fill(b, left=stamp, right=stamp)
    fill(b, left=1133, state=990)
    fill(b, state=1056)
    fill(b, state=1076)
    fill(b, state=1130)
    sample = b.sample(1140 * MS)
    assert isinstance(sample, Sample)
    assert sample.images == {"left": "left@1066", "right": "right@1066"}
    assert sample.state == 1066, "interpolated"
    assert sample.stamp == 1066 * MS
    assert sample.received == 1066 * MS + 5


def test_the_closest_set_is_taken_not_the_newest_mixture() -> None:
    b = buffer()
    for k in range(4):
        fill(b, left=1000 + 33 * k, right=1001 + 33 * k, state=1000 + 33 * k)
    fill(b, left=1132, state=1132)  # would make a set with the last one of right, 32 ms apart
    sample = b.sample(1133 * MS)
    assert isinstance(sample, Sample)
    assert sample.images == {"left": "left@1099", "right": "right@1100"}


def test_a_set_that_was_answered_is_not_taken_again_if_there_is_a_newer_one() -> None:
    b = buffer()
    for stamp in (1000, 1030):
        fill(b, left=stamp, right=stamp + 1, state=stamp)
    first = b.sample(1031 * MS, after=999 * MS)
    assert isinstance(first, Sample)
    assert first.stamp == 1030 * MS
    assert b.ready(1031 * MS, after=1030 * MS) is None, "nothing is wrong, it only has to come"
    fill(b, left=1063)
    again = b.sample(1064 * MS, after=1030 * MS)
    assert isinstance(again, Sample)
    assert again.stamp == 1031 * MS, "of the right one, with what the left showed 32 ms later"


def test_a_missing_stream_is_named() -> None:
    b = buffer()
    fill(b, left=1000, state=1000)
    assert b.sample(1010 * MS) == "right: nothing received"


def test_an_old_stream_is_named_with_its_age() -> None:
    b = buffer()
    fill(b, left=1000, right=1000, state=1000)
    fill(b, left=1600, state=1600)
    assert b.sample(1610 * MS) == "right: 0.61 s old, limit 0.50 s"


def test_a_frozen_stamp_grows_old() -> None:
    b = buffer()
    fill(b, left=1000, right=1000, state=1000)
    for stamp in (1300, 1600):
        fill(b, left=stamp, state=stamp)
        b.add("right", 1000 * MS, stamp * MS, "same frame again")
    assert b.sample(1610 * MS) == (
        "right: the same stamp again and again, 0.60 s old when it was received, limit 0.50 s"
    )


def test_a_state_too_far_from_the_pictures_is_refused() -> None:
    b = buffer()
    fill(b, left=1000, right=1000, state=900)
    assert (
        b.sample(1010 * MS) == "joint states: 0.100 s apart from the other streams, limit 0.050 s"
    )


def test_cameras_that_are_never_close_enough_are_named_with_the_cure() -> None:
    b = buffer()
    for k in range(5):  # 5 Hz
        fill(b, left=1000 + 200 * k, right=1090 + 200 * k)
    for stamp in range(1000, 2000, 20):
        fill(b, state=stamp)
    assert b.sample(1990 * MS) == (
        "right: 0.090 s apart from left at best, limit 0.050 s: "
        "synchronize the cameras or raise max_skew"
    )


def test_a_clock_that_jumps_back_clears_everything() -> None:
    b = buffer()
    fill(b, left=9000, right=9000, state=9000)
    assert b.add("left", 1, 1, "new").jumped
    assert b.ages(1) == {"left": math.inf, "right": math.inf, STATE: math.inf} | {"left": 0.0}
    assert not b.add("right", 1, 1, "new").jumped, "it was cleared for all streams"


@pytest.mark.parametrize("stream", ["left", STATE])
def test_a_stamp_that_cannot_be_true_is_left_out_and_said(stream: str) -> None:
    b = buffer()
    for k in range(10):
        now = 1000 * MS + k * 33 * MS
        for name in ("left", "right", STATE):
            b.add(name, now + 300 * MS * (name == stream), now, k)
    assert b.sample(now) == f"{stream}: stamped 0.30 s ahead of its reception: the clocks differ"
    assert b.refused() == {"left": 0, "right": 0, STATE: 0} | {stream: 10}


def test_rates_are_counted_by_the_stamps() -> None:
    b = buffer()
    for k in range(5):
        fill(b, left=1000 + 50 * k, state=1000 + 10 * k)
    assert b.rates() == {"left": 20.0, "right": 0.0, STATE: 100.0}


@pytest.mark.parametrize("late", [0, 50, 150, 450])
@pytest.mark.parametrize("hz", [50, 100, 1000])
def test_pictures_that_come_late_get_the_state_of_their_own_moment(late: int, hz: int) -> None:
    b, errors = buffer(), []
    step = 1000 // hz
    for t in range(1000, 4000):  # ms
        if t % step == 0:
            fill(b, state=t)
        if t % 33 == 0 and t > 1000 + late + step:
            for view in b.views:
                b.add(view, (t - late) * MS, t * MS, t - late)
            sample = b.sample(t * MS)
            assert isinstance(sample, Sample)
            errors.append(sample.state - sample.stamp / MS)
    assert len(errors) > 70
    # a state that is not there yet is held
    assert np.abs(errors).max() < (1e-6 if late else step)


def test_arm_and_gripper_are_merged_from_two_publishers_each_at_its_own_rate() -> None:
    states = JointStates(("j1", "j2", "finger"))
    b = buffer(joints=states)
    b.add(STATE, 0, 10 * MS, [0.0, 0.0, math.nan])  # without a stamp
    states.take({"j1": 0.0, "j2": 0.0}, 10 * MS)
    states.update(["thumb"], [0.0], 10 * MS)
    fill(b, left=10, right=10)
    lacks = "joint states: lack ['finger']; heard instead: ['thumb']"
    assert b.sample(11 * MS) == lacks
    for t in range(11, 2000):
        if t % 20 == 0:
            b.add(STATE, t * MS, t * MS, [t, -t, math.nan])
        if t % 33 == 7:
            b.add(STATE, (t - 3) * MS, t * MS, [math.nan, math.nan, 2 * (t - 3)])
        if t % 66 == 0:
            for view in b.views:
                b.add(view, (t - 60) * MS, t * MS, "")
    sample = b.sample(1999 * MS)
    assert isinstance(sample, Sample)
    moment = sample.stamp / MS
    assert sample.state == pytest.approx([moment, -moment, 2 * moment])


def test_memory_is_bounded_whatever_comes() -> None:
    b = ObservationBuffer(("left", "right"), max_age=60 * NS, max_skew=50 * MS)
    for k in range(20_000):  # 10 kHz of states, 1 kHz of one camera, never the other one
        b.add(STATE, NS + k * MS // 10, NS + k * MS // 10, [0.0, math.nan])
        if k % 10 == 0:
            b.add("left", NS + k * MS // 10, NS + k * MS // 10, k)
    (track, _), frames = b._states._tracks, b._streams["left"].frames
    assert len(track.stamps) < 2200
    assert len(frames) == MOST_FRAMES


# -- cameras that are not synchronized

VIEWS = ("wrist", "left", "right")
RULES = ReplanRules(find_strategy("replace"), 8, 2, 0)
LATENCY = 0.03
Event = tuple[float, str, float]  # reception and stamp in s


def camera(chance: random.Random, view: str, hz: float, phase: float, rough: bool) -> list[Event]:
    """Two seconds of a camera; rough: drift, jitter of exposure and transport, drops."""
    hz *= 1 + chance.uniform(-0.001, 0.001) * rough
    stamps = [(k + phase) / hz for k in range(int(2 * hz))]
    if rough:
        stamps = [stamp + chance.gauss(0, 0.002) for stamp in stamps if chance.random() > 0.02]
    late = [LATENCY + abs(chance.gauss(0, 0.003)) * rough for _ in stamps]
    return [(stamp + delay, view, stamp) for stamp, delay in zip(stamps, late, strict=True)]


def infer(cameras: list[list[Event]], net: float = 0.0) -> tuple[int, float, float]:
    """How often a policy infers in 2 s, its longest pause and the largest skew, s."""
    b, planner = ObservationBuffer(VIEWS, 500 * MS, 50 * MS), Replanner(RULES)
    states = [(k / 30, STATE, k / 30) for k in range(60)]
    times, skew, number, running = [0.1], 0.0, 0, None
    for at, stream, stamp in sorted(sum(cameras, states)):
        now = NS + int(at * NS)
        b.add(stream, NS + int(stamp * NS), now, 0.0 if stream == STATE else stamp)
        if running and running[0] <= now:
            chunk = ActionChunk(np.zeros((16, 1), np.float32), ("j",), running[1], NS // 15)
            number, running = number + 1, planner.published(chunk, number + 1, running[0])
        if running or now < planner.due():
            continue
        sample = b.ready(now, planner.answered_until())
        if isinstance(sample, Sample):
            times.append(at)
            skew = max(skew, max(sample.images.values()) - min(sample.images.values()))
            running = now + int(net * NS), sample.stamp
    return len(times) - 1, max(np.diff([*times, 2.0])), skew


RATES = [(15, 15, 15), (30, 30, 30), (60, 60, 60), (15, 30, 60), (15, 15, 60), (15, 25, 30)]


@pytest.mark.parametrize("hz", RATES)
def test_cameras_at_random_phases_are_nearly_as_good_as_synchronized_ones(
    hz: tuple[int, int, int],
) -> None:
    """1000 phases in all."""
    for rough in (False, True):
        chance = random.Random(str(hz))
        count, pauses, skews = [], [], []
        together, longest = [], []
        for trial in range(84):
            net = (0.0, 0.1)[trial % 2]
            phases = [chance.random() for _ in VIEWS]
            seen = [camera(chance, *one, rough) for one in zip(VIEWS, hz, phases, strict=True)]
            inferred, pause, skew = infer(seen, net)
            count, pauses, skews = [*count, inferred], [*pauses, pause], [*skews, skew]
            if trial < 12:
                seen = [
                    camera(chance, view, rate, 0, rough)
                    for view, rate in zip(VIEWS, hz, strict=True)
                ]
                inferred, pause, _ = infer(seen, net)
                together, longest = [*together, inferred], [*longest, pause]
        assert np.mean(count) >= 0.95 * np.mean(together)
        assert max(pauses) <= 1.5 * max(longest)
        assert max(skews) <= 0.05 + 1e-9
