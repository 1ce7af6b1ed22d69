# SPDX-License-Identifier: Apache-2.0
"""Keeping simulated time in step with the wall clock: pure, wall time is passed in (ns)."""

from __future__ import annotations

import collections

from ..model.interface import NS

TICKS_PER_SECOND = 120
# The simulation may be this late without giving up time: it catches up after a slow image.
SLACK = NS // 10


class Pace:
    """When each tick is due, and how fast the simulation really runs."""

    def __init__(self, period: int, factor: float, now: int) -> None:
        """period: simulated ns a tick.

        factor: simulated seconds per wall second, 0 for as fast as possible.
        """
        self._period, self._factor = period, factor
        self._ticks = 0
        self._begin, self._begin_ticks = now, 0
        self._seen = collections.deque([(now, 0)], maxlen=6)

    @property
    def due(self) -> int:
        """When the newest tick was due, wall clock, ns: without the jitter of the loop."""
        if not self._factor:
            return self._begin
        return self._begin + round((self._ticks - self._begin_ticks) * self._period / self._factor)

    def tick(self, now: int) -> float:
        """Count a tick; returns for how many seconds to wait until it is due."""
        self._ticks += 1
        if not self._factor:
            return 0.0
        if now - self.due > SLACK:
            self._begin, self._begin_ticks = now, self._ticks
        return max(self.due - now, 0) / NS

    def measure(self, now: int) -> float:
        """Simulated seconds per wall second since the fifth call before this one."""
        self._seen.append((now, self._ticks))
        (begin, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) * self._period / max(end - begin, 1)
