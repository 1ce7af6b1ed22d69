# SPDX-License-Identifier: Apache-2.0
"""How far a stated probability of yes can be believed, and the temperature that mends it.

Written out here: a few sums each, for which scikit-learn and netcal would be needed to judge.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ...model.language.yes_or_no import with_temperature

BINS = 10
LEAST, MOST = 0.05, 20.0  # temperatures that are tried
_TINY = 1e-12  # of a probability in the loss


@dataclasses.dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose probability of yes lies in [low, high), in the last bin up to 1."""

    low: float
    high: float
    count: int
    stated: float  # mean probability of yes
    true: float  # share of those to which yes is right


def reliability(yes: Sequence[float], truths: Sequence[bool], bins: int = BINS) -> list[Bin]:
    """Bins of equal width that hold an answer.

    yes: probability of yes of each answer, 0..1; truths: whether yes is right.
    """
    members: list[list[int]] = [[] for _ in range(bins)]
    for number, share in enumerate(yes):
        members[min(int(share * bins), bins - 1)].append(number)
    return [
        Bin(
            place / bins,
            (place + 1) / bins,
            len(some),
            math.fsum(yes[number] for number in some) / len(some),
            sum(truths[number] for number in some) / len(some),
        )
        for place, some in enumerate(members)
        if some
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of stated and true share of yes, weighted by the answers (arXiv 1706.04599).

    Of the probability of yes, not of the answer given; 0 without answers.
    """
    count = sum(one.count for one in bins)
    return sum(one.count * abs(one.stated - one.true) for one in bins) / max(count, 1)


def brier(yes: Sequence[float], truths: Sequence[bool]) -> float:
    """Mean squared error of the probability of yes."""
    return math.fsum((p - t) ** 2 for p, t in zip(yes, truths, strict=True)) / len(yes)


def fit_temperature(yes: Sequence[float], truths: Sequence[bool]) -> float:
    """The temperature with the least log loss on these answers; NaN among them are left out.

    Temperature scaling, arXiv 1706.04599. By golden-section search: the loss has one minimum. It is
    near LEAST if all answers are right, and near MOST if they are no better than chance.
    """
    known = [(p, t) for p, t in zip(yes, truths, strict=True) if not math.isnan(p)]
    if not known:
        raise ValueError("temperature: expected answers with a probability of yes, got none")

    def loss(log: float) -> float:
        cooled = [(with_temperature(p, math.exp(log)), t) for p, t in known]
        return -math.fsum(math.log(max(p if t else 1 - p, _TINY)) for p, t in cooled)

    low, high, ratio = math.log(LEAST), math.log(MOST), (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return math.exp((low + high) / 2)
