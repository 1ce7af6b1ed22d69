# SPDX-License-Identifier: Apache-2.0
"""Observations are aligned by stamp; what is missing, old or apart is named, never invented."""

from cosmos3_ros.execution.observation_buffer import STATE, ObservationBuffer, Sample
from cosmos3_ros.model.interface import NS

MS = NS // 1000


def buffer() -> ObservationBuffer:
    return ObservationBuffer(("left", "right"), max_age=500 * MS, max_skew=50 * MS)


def fill(b: ObservationBuffer, **stamps: int) -> None:
    for name, stamp in stamps.items():
        stream = STATE if name == "state" else name
        b.add(stream, stamp * MS, stamp * MS + 5, f"{name}@{stamp}")


def test_the_newest_moment_that_all_streams_show_is_taken() -> None:
    b = buffer()
    for stamp in (1000, 1066):
        fill(b, left=stamp, right=stamp)
    fill(b, left=1133, state=990)
    fill(b, state=1060)
    fill(b, state=1130)
    sample = b.sample(1140 * MS)
    assert isinstance(sample, Sample)
    assert sample.images == {"left": "left@1066", "right": "right@1066"}
    assert sample.state == "state@1060"
    assert sample.stamp == 1066 * MS
    assert sample.received == 1066 * MS + 5


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
    assert b.sample(1610 * MS) == "right: the same stamp again and again, 0.61 s old, limit 0.50 s"


def test_streams_too_far_apart_are_refused() -> None:
    b = buffer()
    fill(b, left=1000, right=1000, state=900)
    assert (
        b.sample(1010 * MS) == "joint states: 0.100 s apart from the other streams, limit 0.050 s"
    )


def test_a_clock_that_jumps_back_clears_everything() -> None:
    b = buffer()
    fill(b, left=9000, right=9000, state=9000)
    assert b.add("left", 0, 0, "new")
    assert b.ages(0) == {"left": 0.0, "right": float("inf"), STATE: float("inf")}


def test_a_stamp_in_the_future_is_refused() -> None:
    b = buffer()
    fill(b, left=2000, right=1000, state=1000)
    assert b.sample(1010 * MS) == "left: 0.99 s in the future, limit 0.50 s"


def test_rates_are_counted_by_the_stamps() -> None:
    b = buffer()
    for k in range(5):
        fill(b, left=1000 + 50 * k, state=1000 + 10 * k)
    assert b.rates() == {"left": 20.0, "right": 0.0, STATE: 100.0}
