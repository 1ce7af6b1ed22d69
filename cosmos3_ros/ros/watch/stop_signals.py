# SPDX-License-Identifier: Apache-2.0
"""The stop of a topic that several nodes publish: each one's stop is lifted by its own false.

Messages do not tell who sent them; sequence numbers do, for each publisher counts its own. Where
they leave several answers all are kept, and it is stopped if it is in one of them.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SEEN = 64  # messages that are remembered, for one may come through several subscriptions
MOST = 64  # answers that are kept


class _Voice(NamedTuple):
    """What one publisher said last, and which of the publishers it may be."""

    number: int
    stop: bool
    who: frozenset[Any]
    since: int = 0  # which message of all was the first of those that say the same
    last: int = 0  # and which the last


_Voices = tuple[_Voice, ...]


class StopSignals:
    """Whether it is stopped, from what all publishers of one topic said."""

    def __init__(self) -> None:
        self._answers: list[_Voices] = [()]
        self._count = 0  # messages of all
        self._seen: collections.deque[tuple[int, int]] = collections.deque(maxlen=SEEN)

    @property
    def stopped(self) -> bool:
        """Whether anybody's stop stands."""
        return any(voice.stop for voices in self._answers for voice in voices)

    @property
    def is_uncertain(self) -> bool:
        """Whether it is stopped in one answer and not in another."""
        return len({any(voice.stop for voice in voices) for voices in self._answers}) > 1

    def has_heard(self, sent: int, number: int | None) -> bool:
        """Whether this message came before, by another subscription."""
        return (sent, number) in self._seen

    def hear(self, stop: bool, sent: int, number: int | None, publishers: Collection[Any]) -> None:
        """One message: its sender's clock (ns) and sequence number, and who publishes now.

        Without numbers (not every middleware has them) the last message of anybody counts.
        """
        if number is None:
            self._answers = [(_Voice(0, stop, frozenset()),)]
            return
        if self.has_heard(sent, number):
            return
        self._seen.append((sent, number))
        now, self._count = frozenset(publishers), self._count + 1
        for rule in (_follows, _others):
            answers = {
                _after(voices, speaker, _Voice(number, stop, now, self._count, self._count))
                for voices in self._answers
                for speaker in rule(voices, number, now)
            }
            if answers:
                break
        # too many to follow: those that say stop, for safety
        self._answers = sorted(answers, key=_stops, reverse=True)[:MOST]

    def settle(self, said: Mapping[int, Sequence[bool]], publishers: Collection[Any]) -> None:
        """What all publishers said last, by number, known for certain: nothing else counts."""
        who = frozenset(publishers)
        count = self._count
        voices = (
            _Voice(number, stop, who, count, count)
            for number, stops in said.items()
            for stop in stops
        )
        self._answers = [tuple(sorted(voices, key=lambda voice: voice[:2]))]


def _stops(voices: _Voices) -> int:
    return sum(voice.stop for voice in voices)


def _alive(voices: _Voices, now: frozenset[Any]) -> list[_Voice]:
    return [voice for voice in voices if voice.who & now]


def _follows(voices: _Voices, number: int, now: frozenset[Any]) -> Iterator[_Voice | None]:
    """Who said the message before this one: rather that than another, of whom some were lost."""
    yield from (voice for voice in _alive(voices, now) if voice.number == number - 1)


def _others(voices: _Voices, number: int, now: frozenset[Any]) -> Iterator[_Voice | None]:
    """Who else it may be: somebody new (None), or one of whom messages were lost."""
    alive = _alive(voices, now)
    before = [voice for voice in alive if voice.number < number and number > 1]
    yield from before
    if not before or len(alive) < len(now):
        yield None


def _after(voices: _Voices, speaker: _Voice | None, said: _Voice) -> _Voices:
    """The voices after `speaker` (None: somebody new) said something, said.who: who publishes now.

    One who says false, and began to after the last true of another that is gone, lifts its stop.
    """
    alive = _alive(voices, said.who)
    unknown = said.who.difference(*(voice.who for voice in alive))
    who = speaker.who if speaker else unknown or said.who
    since = said.since if speaker is None or speaker.stop != said.stop else speaker.since
    kept = [
        voice
        for voice in voices
        if voice is not speaker
        and (voice in alive or (voice.stop and (said.stop or since <= voice.last)))
    ]
    said = said._replace(who=who, since=since)
    return tuple(sorted([*kept, said], key=lambda voice: voice[:2]))
