# SPDX-License-Identifier: Apache-2.0
"""How inferences went: what became of them, how long their stages took, whether any ends."""

from __future__ import annotations

from collections.abc import Mapping

from ...execution.latency_window import LatencyWindow
from ...execution.progress import Progress

OVERDUE = 5.0  # seconds without an inference that is due, or three times what the slowest took


class InferenceRecord:
    """Counts and latencies since the node was configured; the node counts up."""

    def __init__(self) -> None:
        self.dropped = 0  # answers that came for an episode that was over
        self.refused = 0  # observations that came to nothing
        self._stages: dict[str, LatencyWindow] = {}
        self._progress = Progress()

    def add(self, seconds: Mapping[str, float]) -> None:
        """One inference took so long in each stage."""
        for stage, taken in seconds.items():
            self._stages.setdefault(stage, LatencyWindow()).add(taken)

    def overdue(self, chunks: int, now: int, due: bool, slowest: float) -> float:
        """Seconds for which no inference has ended though one is due; 0: not worth a word.

        chunks: how many were published; now: ns, of a clock that nobody sets; slowest: what the
        slowest inference took, s.
        """
        done = chunks + self.dropped + self.refused
        waited = self._progress.stands(done, now, due)
        return waited if waited >= max(OVERDUE, 3 * slowest) else 0.0

    def latencies(self) -> dict[str, str]:
        """Quantiles of each stage by name, for /diagnostics."""
        values: dict[str, str] = {}
        for stage, window in self._stages.copy().items():
            values |= window.table(stage)
        return values
