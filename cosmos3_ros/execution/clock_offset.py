# SPDX-License-Identifier: Apache-2.0
"""How much the clock of another computer differs, by the stamps of its messages. Pure."""

from __future__ import annotations

import collections

from ..model.interface import NS

SPAN = NS  # the least age is kept for so long at a time
SPANS = 10  # and that many times


class ClockOffset:
    """The least age of the messages of the last seconds: their clock, and their shortest way."""

    def __init__(self) -> None:
        self._least: collections.deque[tuple[int, int]] = collections.deque(maxlen=SPANS)

    def add(self, stamp: int, now: int) -> None:
        """A message of `stamp` was received at `now` (ns, each by the clock of its computer)."""
        span, age = now // SPAN, now - stamp
        if self._least and self._least[-1][0] == span:
            age = min(age, self._least.pop()[1])
        elif self._least and self._least[-1][0] > span:
            self.forget()  # the clock was set back
        self._least.append((span, age))

    def forget(self) -> None:
        """Nothing is known about the other clock."""
        self._least.clear()

    @property
    def seconds(self) -> float | None:
        """What the other clock shows less, and the shortest delay, s; None: nothing received."""
        return min(age for _, age in self._least) / NS if self._least else None

    def fault(self, most: float) -> str:
        """By how much the clocks differ, if it is more than `most` seconds; else empty."""
        seconds = self.seconds
        if seconds is None or abs(seconds) <= most:
            return ""
        if seconds < 0:
            return f"the clock of the joint states is {-1e3 * seconds:.0f} ms ahead"
        late = f"{1e3 * seconds:.0f} ms"
        return f"the clock of the joint states is {late} behind, or they arrive {late} late"
