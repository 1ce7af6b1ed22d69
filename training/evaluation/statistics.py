# SPDX-License-Identifier: Apache-2.0
"""Intervals of measured rates."""

from __future__ import annotations

import math


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a success rate: low, high."""
    z, rate = 1.96, successes / trials
    center = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    variance = rate * (1 - rate) / trials + z * z / (4 * trials * trials)
    half = z / (1 + z * z / trials) * math.sqrt(variance)
    return max(0.0, center - half), min(1.0, center + half)
