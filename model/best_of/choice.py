# SPDX-License-Identifier: Apache-2.0
"""Which of several chunks for one observation is played. Pure numpy.

What most samples agree on is less often a slip than what one of them says alone (self-consistency,
arXiv 2203.11171): among those that are judged alike, the one nearest to all others, the medoid.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIKE = 0.05  # probabilities of the wanted answers that differ by less say nothing


def distances(chunks: np.ndarray) -> np.ndarray:
    """How far samples [N, H, D] are apart: [N, N], in the units of their columns.

    Mean over the rows of the absolute difference, of the column where it is largest. A gripper (0
    open, 1 closed) that closes one row of 16 later is 0.06 apart.
    """
    apart = np.abs(chunks[:, None] - chunks[None, :].astype(np.float64))
    return apart.mean(axis=2).max(axis=2)


def disagreement(apart: np.ndarray) -> float:
    """The largest distance between two samples; apart: see `distances`."""
    return float(apart.max())


def choose(apart: np.ndarray, wanted: Sequence[float] | None = None) -> int:
    """The index of the sample to play; apart: [N, N], see `distances`.

    wanted: probability of the wanted answers about the future of each, None: not asked. Of those
    that are within ALIKE of the most probable one, that with the least sum of distances to all
    samples; of equals the first.
    """
    sums = apart.sum(axis=1)
    if wanted is not None:
        likely = np.asarray(wanted, np.float64)
        sums = np.where(likely >= likely.max() - ALIKE, sums, np.inf)
    return int(sums.argmin())
