# SPDX-License-Identifier: Apache-2.0
"""Intervals of measured rates, and of how rates on the same trials differ.

Written out here: scipy and statsmodels have no interval for the difference of paired proportions.
"""

from __future__ import annotations

import math

_Z = 1.96  # 97.5 % of a normal distribution lie below


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a success rate: low, high."""
    z, rate = _Z, successes / trials
    center = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    variance = rate * (1 - rate) / trials + z * z / (4 * trials * trials)
    half = z / (1 + z * z / trials) * math.sqrt(variance)
    return max(0.0, center - half), min(1.0, center + half)


def mcnemar(first: int, second: int) -> float:
    """Two-sided p of the exact McNemar test: of the discordant pairs, `first` favor one side."""
    count = first + second
    tail = sum(math.comb(count, k) for k in range(min(first, second) + 1))
    return min(1.0, 2 * tail / 2**count)


def paired_difference(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """95 % interval of the first success rate less the second one on the same trials: low, high.

    first, second: pairs in which that one alone succeeded. Newcombe's hybrid score interval
    (Statistics in Medicine 17:2635, 1998, method 10).
    """
    count = both + first + second + neither
    rates = ((both + first) / count, (both + second) / count)
    (low, high), (other_low, other_high) = (wilson(round(rate * count), count) for rate in rates)
    phi = _correlation(both, first, second, neither)
    difference = rates[0] - rates[1]
    down = _hybrid(rates[0] - low, other_high - rates[1], phi)
    up = _hybrid(high - rates[0], rates[1] - other_low, phi)
    return max(-1.0, difference - down), min(1.0, difference + up)


def _hybrid(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Of the two outcomes of a pair, with Newcombe's correction for continuity."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if margins == 0:
        return 0.0
    excess = both * neither - first * second
    count = both + first + second + neither
    return (max(excess - count / 2, 0.0) if excess > 0 else excess) / math.sqrt(margins)
