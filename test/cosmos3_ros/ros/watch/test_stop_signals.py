# SPDX-License-Identifier: Apache-2.0
"""A stop holds until its own publisher lifts it, as far as that can be told."""

from collections.abc import Collection

import hypothesis
import hypothesis.strategies as st

from cosmos3_ros.ros.watch.stop_signals import StopSignals


class Topic:
    """Publishers of the stop topic by name, each with its sequence numbers."""

    def __init__(self, *publishers: str) -> None:
        self.signals, self.sent = StopSignals(), 0
        self.numbers = dict.fromkeys(publishers, 0)

    def say(self, who: str, stop: bool, publishers: Collection[str] | None = None) -> bool:
        """One message; whether it is stopped then."""
        self.sent += 1
        self.numbers[who] = self.numbers.get(who, 0) + 1
        self.hear(stop, self.sent, self.numbers[who], publishers)
        return self.signals.stopped

    def hear(
        self, stop: bool, sent: int, number: int | None, publishers: Collection[str] | None = None
    ) -> None:
        who = publishers if publishers is not None else self.numbers
        self.signals.hear(stop, sent, number, list(who))


def test_one_publisher_stops_and_releases() -> None:
    topic = Topic("button")
    assert not topic.say("button", False)
    assert topic.say("button", True)
    assert topic.say("button", True)
    assert not topic.say("button", False)


def test_another_publisher_that_says_false_all_the_time_releases_nothing() -> None:
    topic = Topic("button", "heartbeat")
    topic.numbers["heartbeat"] = 500
    assert not topic.say("heartbeat", False)
    assert topic.say("button", True)
    assert all(topic.say("heartbeat", False) for _ in range(100))
    assert not topic.say("button", False)


def test_two_that_begin_at_once_are_told_apart_too() -> None:
    topic = Topic("button", "heartbeat")
    assert topic.say("button", True)
    assert all(topic.say("heartbeat", False) for _ in range(50))
    assert topic.say("heartbeat", True)
    assert topic.say("heartbeat", False), "the button's stop stands"
    assert not topic.say("button", False) or not topic.say("button", False)


def test_messages_that_were_lost_release_nothing_and_what_comes_then_does() -> None:
    topic = Topic("button", "heartbeat")
    topic.numbers["heartbeat"] = 500
    topic.say("heartbeat", False)
    assert topic.say("button", True)
    topic.numbers["heartbeat"] += 7
    assert topic.say("heartbeat", False)
    topic.numbers["button"] += 2
    assert not topic.say("button", False)


def test_the_stop_of_one_that_is_gone_stands_until_somebody_new_lifts_it() -> None:
    topic = Topic("heartbeat")
    topic.say("heartbeat", False)
    assert topic.say("first", True)
    del topic.numbers["first"]
    assert all(topic.say("heartbeat", False) for _ in range(5))
    assert not topic.say("second", False)


def test_a_node_that_was_killed_and_began_anew_lifts_its_stop_once_it_is_gone() -> None:
    """The middleware knows the dead one for some seconds more."""
    topic = Topic("heartbeat")
    topic.numbers["heartbeat"] = 500
    topic.say("heartbeat", False)
    assert topic.say("old", True)
    for _ in range(5):
        assert topic.say("new", False, ["old", "heartbeat", "new"])
        assert topic.say("heartbeat", False, ["old", "heartbeat", "new"])
    del topic.numbers["old"]
    assert topic.say("heartbeat", False), "it said false before the stop, too"
    assert not topic.say("new", False)


def test_the_same_message_through_two_subscriptions_counts_once() -> None:
    topic = Topic("button")
    topic.hear(True, 1, 1)
    topic.hear(False, 2, 2)
    topic.hear(True, 1, 1)
    assert not topic.signals.stopped


def test_without_sequence_numbers_the_last_word_counts() -> None:
    topic = Topic("a", "b")
    topic.hear(True, 1, None)
    assert topic.signals.stopped
    topic.hear(False, 2, None)
    assert not topic.signals.stopped


def test_what_all_said_last_replaces_what_was_guessed() -> None:
    topic = Topic("a", "b")
    topic.say("a", True)
    topic.say("b", False)
    assert topic.say("a", False), "b may have said that"
    assert topic.signals.is_uncertain
    topic.signals.settle({1: [False], 2: [False]}, "ab")
    assert not topic.signals.stopped
    topic.signals.settle({1: [False], 2: [True]}, "ab")
    assert topic.say("b", False), "of a, the stop stands"
    assert not topic.signals.is_uncertain
    assert topic.say("a", False), "both have said two"
    assert topic.signals.is_uncertain


WORDS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40)


@hypothesis.given(words=WORDS)
def test_no_stop_is_lifted_by_another_publisher(words: list[tuple[str, bool]]) -> None:
    """Whoever says and repeats what: while one says stop, it is stopped."""
    topic = Topic("a", "b", "c")
    said: dict[str, bool] = {}
    for who, stop in words:
        stopped, said[who] = topic.say(who, stop), stop
        assert stopped >= any(said.values()), (who, said)


@hypothesis.given(words=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_it_ends_when_all_have_said_so_again_and_again(words: list[tuple[str, bool]]) -> None:
    topic = Topic("a", "b", "c")
    for who, stop in words:
        topic.say(who, stop)
    for who in "abc" * 12:
        topic.say(who, False)
    assert not topic.signals.stopped
