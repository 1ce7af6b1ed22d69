# SPDX-License-Identifier: Apache-2.0
"""The replanner begins a chunk so that it comes in time, and knows what is executed until then."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.execution.replanner import Replanner, ReplanRules
from cosmos3_ros.execution.strategies import find_strategy
from cosmos3_ros.model.interface import NS, ActionChunk

STEP = NS // 10
CHUNK = ActionChunk(np.arange(20, dtype=np.float32)[:, None], ("a",), 5 * NS, STEP)


def replanner(
    strategy: str = "replace", horizon: int = 10, margin: int = 2, soft: int = 0
) -> Replanner:
    made = Replanner(ReplanRules(find_strategy(strategy), horizon, margin, soft))
    made.published(CHUNK, 3, CHUNK.stamp + 4 * STEP)
    return made


def test_the_first_chunk_is_due_at_once() -> None:
    first = Replanner(ReplanRules(find_strategy("rtc"), 10, 2, 0))
    assert first.due() == 0
    assert first.is_newer(1)
    assert first.committed(1, 0) is None
    assert first.remaining(1) == 0


def test_the_next_chunk_is_begun_in_time_for_the_horizon() -> None:
    assert replanner().due() == CHUNK.stamp + (10 - 4 - 2) * STEP
    assert replanner(horizon=0).due() == CHUNK.stamp + (20 - 4 - 2) * STEP
    assert replanner(horizon=99).due() == replanner(horizon=0).due()


def test_the_latency_is_that_of_95_of_100_chunks() -> None:
    made = replanner()
    for k in range(99):
        made.published(CHUNK, 4 + k, CHUNK.stamp + (1 if k < 94 else 9) * STEP)
    assert made.latency.quantile(0.95) == pytest.approx(0.4)


def test_an_observation_must_be_newer_than_the_last_one_that_was_answered() -> None:
    assert not replanner().is_newer(CHUNK.stamp)
    assert replanner().is_newer(CHUNK.stamp + 1)


def test_sync_waits_until_its_rows_are_executed_and_cuts_the_others_off() -> None:
    made = replanner("sync")
    assert made.due() == CHUNK.stamp + (4 + 10) * STEP
    assert not made.is_newer(made.due())
    assert made.is_newer(made.due() + 1)
    assert len(made.cut(CHUNK).values) == 10
    assert replanner("replace").cut(CHUNK) is CHUNK


def test_rtc_hands_over_the_rows_that_will_be_executed_meanwhile() -> None:
    stamp = CHUNK.stamp + 2 * STEP
    committed = replanner("rtc").committed(stamp, 3)
    assert committed is not None
    assert committed.values[:, 0].tolist() == [2, 3, 4, 5, 6], "four rows of latency and one more"
    assert committed.start == CHUNK.stamp + 3 * STEP
    softer = replanner("rtc", soft=3).committed(stamp, 3)
    assert softer is not None
    assert len(softer.values) == 8


def test_a_chunk_that_is_played_later_commits_the_rows_of_then() -> None:
    """One that began at rest is played from its first row."""
    stamp = CHUNK.stamp + 2 * STEP
    later = replanner("rtc").committed(stamp + 5 * STEP, 3, CHUNK.stamp + 5 * STEP)
    same = replanner("rtc").committed(stamp, 3)
    assert later is not None
    assert same is not None
    assert np.array_equal(later.values, same.values)
    assert later.stamp == same.stamp + 5 * STEP


def test_nothing_is_committed_that_is_not_executed() -> None:
    assert replanner("rtc").committed(CHUNK.stamp, 2) is None
    assert replanner("crossfade").committed(CHUNK.stamp, 3) is None
    assert replanner("rtc").committed(CHUNK.end, 3) is None
    forgetful = replanner("rtc")
    forgetful.forget()
    assert forgetful.committed(CHUNK.stamp, 3) is None


def test_the_rules_may_change_while_running() -> None:
    made = replanner()
    made.rules = dataclasses.replace(made.rules, strategy=find_strategy("sync"))
    assert made.due() == CHUNK.stamp + 14 * STEP
    assert made.remaining(CHUNK.stamp + 5 * STEP) == 15


def test_what_can_be_spared_lasts_until_the_last_row_less_latency_and_margin() -> None:
    """The latency is 4 rows, the margin 2; the chunk has 20."""
    published = CHUNK.stamp + 4 * STEP
    assert replanner().spare(published) == pytest.approx((20 - 4 - 4 - 2) / 10)
    assert replanner(horizon=0).spare(published) == replanner().spare(published)
    assert replanner().spare(CHUNK.stamp + 19 * STEP) < 0
    assert Replanner(ReplanRules(find_strategy("rtc"), 10, 2, 0)).spare(0) == 0.0
    waits = replanner("sync")
    assert waits.spare(published) == pytest.approx(1.0), "nothing is due before it is played"


def test_a_hurried_chunk_is_due_until_one_answers_what_was_captured_since() -> None:
    made, since = replanner(), CHUNK.stamp + 5 * STEP
    made.hurry(since)
    assert made.due() == 0
    begun = dataclasses.replace(CHUNK, stamp=since - 1)
    made.published(begun, 4, since + 2 * STEP)
    assert made.due() == 0, "it had begun before"
    made.published(dataclasses.replace(CHUNK, stamp=since), 5, since + 4 * STEP)
    assert made.due() > 0


def test_a_strategy_that_pauses_is_not_hurried() -> None:
    made = replanner("sync")
    due = made.due()
    made.hurry(CHUNK.stamp + STEP)
    assert made.due() == due
    made.forget()
    assert made.due() == 0
