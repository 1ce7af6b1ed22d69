# SPDX-License-Identifier: Apache-2.0
"""Intervals of success rates, and of how they differ on the same trials."""

import itertools
import math

import pytest

from cosmos3_ros.training.evaluation.statistics import mcnemar, paired_difference, wilson


def test_wilson_interval():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(20, 24) == pytest.approx((0.641, 0.933), abs=1e-3)


def test_exact_mcnemar():
    assert mcnemar(0, 0) == mcnemar(3, 3) == mcnemar(3, 4) == 1.0
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(2 * 9 / 256)
    assert mcnemar(0, 6) == pytest.approx(2 / 64)
    assert 0.0 < mcnemar(400, 600) < 1e-9


def test_newcombes_interval_as_published():
    """His worked examples: Statistics in Medicine 17:2635 (1998), method 10."""
    assert paired_difference(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=1e-4)


@pytest.mark.parametrize("pairs", [(36, 12, 2, 0), (80, 0, 5, 15), (0, 3, 0, 7), (500, 0, 0, 0)])
def test_the_interval_turns_round_with_the_sides_and_holds_the_difference(pairs):
    both, first, second, neither = pairs
    low, high = paired_difference(*pairs)
    assert -1 <= low <= (first - second) / sum(pairs) <= high <= 1
    assert paired_difference(both, second, first, neither) == pytest.approx((-high, -low))
    # success and failure change places
    assert paired_difference(neither, second, first, both) == pytest.approx((-high, -low))


def test_the_interval_covers_what_it_says():
    """Every outcome of 40 pairs with 70 and 60 % success, weighted by how likely it is."""
    count, chances = 40, (0.45, 0.25, 0.15, 0.15)
    covered = 0.0
    for both, first, second in itertools.product(range(count + 1), repeat=3):
        neither = count - both - first - second
        if neither < 0:
            continue
        cells = (both, first, second, neither)
        ways = math.factorial(count) // math.prod(map(math.factorial, cells))
        likely = ways * math.prod(p**n for p, n in zip(chances, cells, strict=True))
        low, high = paired_difference(*cells)
        covered += likely * (low <= 0.10 <= high)
    assert covered == pytest.approx(0.95, abs=0.02)
