# SPDX-License-Identifier: Apache-2.0
"""When to begin the next chunk, and which rows are committed until it arrives.

Pure; time is passed in.
"""

from __future__ import annotations

import dataclasses

from ..model.interface import NS, ActionChunk
from .latency_window import LatencyWindow
from .strategies import Strategy


@dataclasses.dataclass(frozen=True, slots=True)
class ReplanRules:
    """Settings of the replanner that may change while it runs."""

    strategy: Strategy  # how one chunk follows another
    horizon: int  # rows of a chunk to execute before the next takes over; 0: all
    margin: int  # rows that are to be left when the next chunk arrives
    soft: int  # rows after the committed ones that guide the next chunk too (rtc)


class Replanner:
    """Remembers the last chunk and how long chunks take."""

    def __init__(self, rules: ReplanRules) -> None:
        self.rules = rules
        self.latency = LatencyWindow()  # from capture to publishing, s
        self.forget()

    def forget(self) -> None:
        """A new episode: the next chunk is the first one."""
        self._last: ActionChunk | None = None
        self._number, self._published = 0, 0
        self._hurried: int | None = None  # what is answered next was captured then, or later

    def hurry(self, stamp: int) -> None:
        """A chunk is due now that answers what was captured at `stamp` (ns) or later.

        Not with a strategy that pauses between chunks: nothing is seen before it rests.
        """
        self._hurried = stamp

    def published(self, chunk: ActionChunk, number: int, now: int) -> None:
        """A chunk was published at `now` (ns); `chunk` in the policy's own names and units."""
        self._last, self._number, self._published = chunk, number, now
        if self._hurried is not None and chunk.stamp >= self._hurried:
            self._hurried = None
        self.latency.add((now - chunk.stamp) / NS)

    def remaining(self, now: int) -> int:
        """How many rows of the last chunk are still to come."""
        return int((self._last.times() > now).sum()) if self._last else 0

    def due(self) -> int:
        """Time (ns) from which the next chunk is to be begun, from the newest observation."""
        if self._last is None:
            return 0
        if self._hurried is not None and not self.rules.strategy.pauses_between_chunks:
            return 0
        rows = min(self.rules.horizon or len(self._last.values), len(self._last.values))
        if self.rules.strategy.pauses_between_chunks:
            return self._published + rows * self._last.step
        ahead = int(self.latency.quantile(0.95) * NS) + self.rules.margin * self._last.step
        return self._last.stamp + rows * self._last.step - ahead

    def spare(self, now: int) -> float:
        """Seconds for which no chunk need be begun, if the next is to come before the last ends.

        At `now` (ns). 0 or less: none.
        """
        if self._last is None:
            return 0.0
        if self.rules.strategy.pauses_between_chunks:
            return (self.due() - now) / NS
        ahead = int(self.latency.quantile(0.95) * NS) + self.rules.margin * self._last.step
        return (self._last.end - ahead - now) / NS

    def is_newer(self, stamp: int) -> bool:
        """Whether an observation captured at `stamp` (ns) is newer than what was answered last."""
        return stamp > self.answered_until()

    def answered_until(self) -> int:
        """The stamp (ns) that was answered last; -1: none was.

        With a strategy that pauses between chunks: the end of the last execution.
        """
        if self._last is None:
            return -1
        return self.due() if self.rules.strategy.pauses_between_chunks else self._last.stamp

    def cut(self, chunk: ActionChunk) -> ActionChunk:
        """The rows of a new chunk to publish: those that can be executed."""
        if not self.rules.strategy.pauses_between_chunks or not self.rules.horizon:
            return chunk
        return dataclasses.replace(chunk, values=chunk.values[: self.rules.horizon])

    def committed(self, stamp: int, playing: int, played_from: int = 0) -> ActionChunk | None:
        """The rows that are executed until the answer to an observation of `stamp` arrives.

        playing: number of the chunk that the commander plays; None if that is not the last one.
        played_from: its stamp as it is played (ns), later if it began at rest; 0: its own.
        """
        if not self.rules.strategy.commits_rows or self._last is None or playing != self._number:
            return None
        rows = 1 + self.rules.soft
        latency = int(self.latency.quantile(0.95) * NS)
        played = dataclasses.replace(self._last, stamp=played_from or self._last.stamp)
        return played.rows(stamp, stamp + latency + rows * played.step)
