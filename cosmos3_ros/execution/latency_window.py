# SPDX-License-Identifier: Apache-2.0
"""Quantiles of the last latencies of one stage."""

from __future__ import annotations

import collections
import math


class LatencyWindow:
    """The last `size` durations, in s."""

    def __init__(self, size: int = 100) -> None:
        self._last: collections.deque[float] = collections.deque(maxlen=size)

    def add(self, seconds: float) -> None:
        self._last.append(seconds)

    def quantile(self, share: float) -> float:
        """The smallest duration that at least `share` of the durations do not exceed, else 0."""
        ordered = sorted(self._last)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0

    def table(self, name: str) -> dict[str, str]:
        """p50, p95 and maximum by name, for /diagnostics; empty before the first duration."""
        if not self._last:
            return {}
        return {
            f"{name} {title} [s]": f"{self.quantile(share):.4f}"
            for title, share in (("p50", 0.5), ("p95", 0.95), ("max", 1))
        }
