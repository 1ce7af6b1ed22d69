# SPDX-License-Identifier: Apache-2.0
"""When the next chunk is to be begun, and which rows are decided by then.

Pure; time is passed in.
"""

from __future__ import annotations

import dataclasses

from ..model.interface import NS, ActionChunk
from ..ros.diagnostics import Window


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """How chunks follow each other.

    strategy: see ActionChunk.msg; horizon: rows of a chunk to execute before the next takes over,
    0: all; margin: rows that are to be left when it comes; soft: with rtc, rows after the decided
    ones that are handed over too, as a wish.
    """

    strategy: str
    horizon: int
    margin: int
    soft: int


class Planner:
    """Remembers the last chunk and how long chunks take."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.latency = Window()  # from capture to publishing, s
        self.forget()

    def forget(self) -> None:
        """A new episode: the next chunk is the first one."""
        self._last: ActionChunk | None = None
        self._number, self._published = 0, 0

    def published(self, chunk: ActionChunk, number: int, now: int) -> None:
        """A chunk has gone out, in the policy's own names and units."""
        self._last, self._number, self._published = chunk, number, now
        self.latency.add((now - chunk.stamp) / NS)

    def remaining(self, now: int) -> int:
        """How many rows of the last chunk are still to come."""
        return int((self._last.times() > now).sum()) if self._last else 0

    def due(self) -> int:
        """The next chunk is to be begun at this time (ns), from an observation of the last moment before."""
        if self._last is None:
            return 0
        rows = min(self.plan.horizon or len(self._last.values), len(self._last.values))
        if self.plan.strategy == "sync":
            return self._published + rows * self._last.step
        ahead = int(self.latency.quantile(0.95) * NS) + self.plan.margin * self._last.step
        return self._last.stamp + rows * self._last.step - ahead

    def answers(self, stamp: int) -> bool:
        """Whether an observation of this moment tells more than the last chunk was told."""
        return self._last is None or stamp > (
            self.due() if self.plan.strategy == "sync" else self._last.stamp
        )

    def cut(self, chunk: ActionChunk) -> ActionChunk:
        """What of a new chunk is to be published: with sync only the rows that are executed."""
        if self.plan.strategy != "sync" or not self.plan.horizon:
            return chunk
        return dataclasses.replace(chunk, values=chunk.values[: self.plan.horizon])

    def committed(self, stamp: int, playing: int) -> ActionChunk | None:
        """The rows that will be executed until the answer to an observation of `stamp` can come.

        playing: number of the chunk that the commander plays; nothing is decided if it is another
        one.
        """
        if self.plan.strategy != "rtc" or self._last is None or playing != self._number:
            return None
        rows = 1 + self.plan.soft
        return self._last.rows(
            stamp, stamp + int(self.latency.quantile(0.95) * NS) + rows * self._last.step
        )
