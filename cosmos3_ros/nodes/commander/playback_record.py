# SPDX-License-Identifier: Apache-2.0
"""How playback went: set points, chunks that were lost on the way, and how late others began."""

from __future__ import annotations

from typing import Any

from ...execution.latency_window import LatencyWindow
from ...model.interface import NS


class PlaybackRecord:
    """Counts and latencies since the commander was configured, at `now` (ns)."""

    def __init__(self, now: int) -> None:
        self.points = 0  # set points until now; the node counts up
        self.lost = 0  # chunks that were published and did not come
        self._newest = 0  # number of the newest chunk
        self._counted = 0, now  # at the last diagnostics: set points, and when that was
        self._latency, self._delivery = LatencyWindow(), LatencyWindow()

    def arrived(self, number: int) -> None:
        """The chunk of this number has come."""
        self.lost += max(0, number - self._newest - 1) if self._newest else 0
        self._newest = number

    def began(self, latency: float, inference: float) -> None:
        """A chunk's motion began, so long after its capture; inference: what of that it took, s."""
        self._latency.add(latency)
        self._delivery.add(latency - inference)

    def counts(self, now: int) -> dict[str, Any]:
        """Set points, their rate since this was asked before, and lost chunks, for /diagnostics."""
        points, since = self._counted
        self._counted = self.points, now
        return {
            "set points": self.points,
            "set points rate [Hz]": f"{(self.points - points) * NS / max(1, now - since):.1f}",
            "lost": self.lost,
        }

    def latencies(self) -> dict[str, str]:
        """Quantiles of how late motions began, for /diagnostics."""
        return {
            **self._delivery.table("publish to motion"),
            **self._latency.table("capture to motion"),
        }
