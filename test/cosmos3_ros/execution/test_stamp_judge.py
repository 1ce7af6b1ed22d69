# SPDX-License-Identifier: Apache-2.0
"""A stamp is believed if it can be true; else the words say which clock to look at."""

import random

import pytest

from cosmos3_ros.execution.stamp_judge import AHEAD_SIMULATED, StampJudge
from cosmos3_ros.model.interface import NS

MS = NS // 1000
NOW = 1_790_000_000 * NS  # in 2026
AGE = 500 * MS
UPTIME = 4321 * NS  # of a computer that counts from its start


def judge(**settings: int) -> StampJudge:
    return StampJudge(AGE, **settings)


@pytest.mark.parametrize("latency", [-20 * MS, -1, 0, 5 * MS, AGE])
def test_a_plausible_stamp_is_used_as_it_is(latency: int) -> None:
    verdict = judge().judge(NOW - latency, NOW)
    assert (verdict.stamp, verdict.fault, verdict.note) == (NOW - latency, "", "")
    assert not verdict.jumped
    assert not verdict.repeated


def test_a_message_without_stamp_is_of_its_reception_and_that_is_said_once() -> None:
    stream = judge()
    first, second = stream.judge(0, NOW), stream.judge(0, NOW + 5)
    assert (first.stamp, second.stamp) == (NOW, NOW + 5)
    assert "no stamp" in first.note
    assert second.note == ""


@pytest.mark.parametrize(
    ("stamp", "received", "words"),
    [
        (NOW + 300 * MS, NOW, "stamped 0.30 s ahead of its reception: the clocks differ"),
        (NOW + 21 * MS, NOW, "stamped 0.02 s ahead of its reception"),
        (NOW - 610 * MS, NOW, "0.61 s old when it was received, limit 0.50 s"),
        (NOW - 37 * NS, NOW, "37.00 s old"),
        (UPTIME, NOW, "stamped 1970-01-01 and received 2026-09-21, another epoch"),
        (NOW, UPTIME, "another epoch: is the driver's clock set / use_sim_time?"),
        (-(2**31) * NS, NOW, "another epoch"),
        (2**31 * NS, UPTIME, "another epoch"),
        (-NS // 10, NS // 10, "before its clock began"),
        (12 * NS, 0, "no /clock yet"),
    ],
)
def test_a_stamp_that_cannot_be_true_is_refused_in_words(
    stamp: int, received: int, words: str
) -> None:
    assert words in judge().judge(stamp, received).fault


def test_simulated_messages_may_come_before_their_tick_of_the_clock() -> None:
    assert judge(ahead=AHEAD_SIMULATED).judge(5 * NS + 50 * MS, 5 * NS).fault == ""
    assert judge(ahead=AHEAD_SIMULATED).judge(5 * NS + 101 * MS, 5 * NS).fault


def test_a_repeated_stamp_is_nothing_new() -> None:
    stream = judge()
    assert not stream.judge(NOW, NOW).repeated
    assert stream.judge(NOW, NOW + 30 * MS).repeated
    assert not stream.judge(NOW + 60 * MS, NOW + 60 * MS).repeated


def test_when_the_nodes_own_clock_goes_back_everything_is_forgotten_once() -> None:
    stream = judge()
    stream.judge(100 * NS, 100 * NS)
    # the first messages of a simulation that began again come before its clock did
    assert "the clock jumped back by 99.98 s: 99.98 s old" in stream.judge(NS // 50, 100 * NS).fault
    after = [stream.judge(k * NS // 50, k * NS // 50) for k in range(2, 100)]
    assert [verdict.jumped for verdict in after] == [True] + 97 * [False]
    assert {verdict.fault for verdict in after} == {""}


def test_a_senders_clock_that_is_set_back_within_the_age_limit_is_a_jump() -> None:
    stream = StampJudge(20 * NS)
    stream.judge(NOW, NOW)
    assert stream.judge(NOW - 2 * NS, NOW + 30 * MS).jumped
    assert not stream.judge(NOW - 2 * NS + 30 * MS, NOW + 60 * MS).jumped


def test_a_small_step_back_is_a_late_message() -> None:
    stream = judge()
    stream.judge(NOW, NOW)
    verdict = stream.judge(NOW - 300 * MS, NOW + 10 * MS)
    assert (verdict.fault, verdict.jumped) == ("", False)


def test_one_stray_stamp_does_not_stop_a_stream() -> None:
    for stray in (UPTIME, NOW - 5 * NS, NOW + 5 * NS, -NS):
        stream = judge()
        for k in range(100):
            now = NOW + k * 20 * MS
            if k == 50:
                assert stream.judge(stray, now).fault
            else:
                verdict = stream.judge(now - 5 * MS, now)
                assert (verdict.fault, verdict.jumped) == ("", False)


@pytest.mark.parametrize("every", [2, 3, 10, 25])
@pytest.mark.parametrize("apart", [1100 * MS, 5 * NS, 3600 * NS, NOW - UPTIME])
@pytest.mark.parametrize("max_age", [AGE, 20 * NS])
def test_two_clocks_on_one_topic_are_named_and_nothing_is_forgotten_again_and_again(
    every: int, apart: int, max_age: int
) -> None:
    stream = StampJudge(max_age)
    verdicts = []
    for k in range(1000):  # 20 s
        now = NOW + k * 20 * MS
        verdicts.append(stream.judge(now - apart * (k % every == 1), now))
    assert all("two clocks on one topic" in verdict.fault for verdict in verdicts[60:])
    assert sum(verdict.jumped for verdict in verdicts) <= 1
    # one of them ends: after a while the other is believed again
    later = [stream.judge(now, now) for now in range(now + NS, now + 15 * NS, 20 * MS)]
    assert later[-1].fault == ""


def test_a_machine_that_stands_still_is_not_two_clocks() -> None:
    stream = judge()
    for k in range(300):
        stamp = NOW + k * 33 * MS
        late = 1500 * MS * (k % 60 > 57)  # every 2 s two messages wait for 1.5 s
        assert "two clocks" not in stream.judge(stamp, stamp + late).fault


def test_whatever_comes_no_stamp_is_used_that_cannot_be_true() -> None:
    messages = 0
    for seed in range(300):
        chance = random.Random(seed)
        stream, now = judge(), NOW
        clocks = [0, *(chance.choice([1, -1]) * 10 ** chance.randint(6, 19) for _ in range(2))]
        jumps, backs = 0, 0
        for _ in range(100):
            step = chance.choice([0, 1, 20 * MS, NS]) if chance.random() < 0.99 else -60 * NS
            now, backs = now + step, backs + (step < 0)
            stamp = chance.choice([0, now + chance.choice(clocks) - chance.randrange(AGE)])
            verdict = stream.judge(stamp, now)
            jumps += verdict.jumped
            if not verdict.fault:
                assert now - AGE <= verdict.stamp <= now + 20 * MS
                messages += 1
        assert jumps <= backs, "only the node's own clock can go back by more than the age limit"
    assert messages > 3_000
