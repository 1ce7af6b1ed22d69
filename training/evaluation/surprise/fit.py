# SPDX-License-Identifier: Apache-2.0
"""Statistics of undisturbed episodes: which residuals are usual where, and how rare others are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....model.surprise.comparison import Comparison
from ....model.surprise.reference import TAIL, Reference, change_of, residual_of

SORTS = 3  # of places, by how much the prediction changes around them
SHRINKAGE = 0.02  # of covariances, towards a sphere
FOLDS = 4  # of the episodes: a threshold is of episodes that the rest was not made of
TOP = 0.05  # share of the comparisons whose values tell how often a larger one comes
RARE = 600.0  # s in which an undisturbed episode is to reach 1 once

Episode = Sequence[Comparison]


def fit(
    episodes: Sequence[Episode],
    views: tuple[str, ...],
    places: np.ndarray,
    period: float,
    about: Mapping[str, Any] | None = None,
) -> Reference:
    """The reference of undisturbed episodes.

    period: s between two comparisons. ValueError if there are too few of them.
    """
    if len(episodes) < FOLDS:
        raise ValueError(f"episodes: expected at least {FOLDS}, got {len(episodes)}")
    draft = usual(episodes, views, places)
    once = _once(episodes, views, places, period)
    return dataclasses.replace(draft, once=once, about=dict(about or {}))


def _once(
    episodes: Sequence[Episode], views: tuple[str, ...], places: np.ndarray, period: float
) -> np.ndarray:
    """The excess of each view that comes once in RARE s times the number of views."""
    largest = []
    for fold in range(FOLDS):
        rest = [episode for number, episode in enumerate(episodes) if number % FOLDS != fold]
        reference = usual(rest, views, places)
        for comparison in (c for episode in episodes[fold::FOLDS] for c in episode):
            grid = reference.excess(comparison)
            largest.append([grid[places == view].max(initial=0.0) for view in range(len(views))])
    chance = period / (RARE * len(views))
    return np.array([_exceeded(values, chance) for values in np.array(largest).T], np.float32)


def _exceeded(values: np.ndarray, chance: float) -> float:
    """What a value exceeds by this chance: the largest of them go on as an exponential."""
    count = max(4, round(TOP * len(values)))
    top = np.sort(values)[-count:]
    slope = max(float((top - top[0]).mean()), 1e-3)
    return float(top[0]) + slope * max(0.0, float(np.log(count / len(values) / chance)))


def usual(episodes: Sequence[Episode], views: tuple[str, ...], places: np.ndarray) -> Reference:
    """Whitening and tails, without the threshold."""
    found = [comparison for episode in episodes for comparison in episode]
    last = max((comparison.index for comparison in found), default=0)
    by_latent = [[c for c in found if c.index == index] for index in range(1, last + 1)]
    if not by_latent or min(map(len, by_latent)) < FOLDS:
        raise ValueError("episodes: expected some comparisons of each latent, got too few")
    parts = []
    for comparisons in by_latent:
        residuals = np.array([residual_of(comparison) for comparison in comparisons])
        changes = np.array([change_of(comparison) for comparison in comparisons])
        mine = [places == view for view in range(len(views))]
        parts.append([_of_view(residuals[:, here], changes[:, here]) for here in mine])
    edges, whitening, level, slope = (
        np.array([[part[field] for part in row] for row in parts], np.float32) for field in range(4)
    )
    return Reference(views, places, edges, whitening, level, slope, np.ones(len(views)), {})


def _of_view(
    residuals: np.ndarray, changes: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], list[float], list[float]]:
    """Edges, whitening, level and slope of a latent of a view: [n, places, C], [n, places]."""
    residuals, changes = residuals.reshape(-1, residuals.shape[-1]), changes.ravel()
    edges = np.quantile(changes, np.linspace(0, 1, SORTS + 1)[1:-1])
    sorts = np.digitize(changes, edges)
    whitening, level, slope = [], [], []
    for sort in range(SORTS):
        rows = residuals[sorts == sort] if (sorts == sort).any() else residuals
        matrix = _whitening(rows)
        energies = np.sort(np.log(((rows @ matrix) ** 2).mean(-1) + 1e-12))
        tail = energies[-max(2, round(TAIL * len(energies))) :]
        whitening.append(matrix)
        level.append(float(tail[0]))
        slope.append(max(float((tail - tail[0]).mean()), 1e-3))
    return edges, whitening, level, slope


def _whitening(rows: np.ndarray) -> np.ndarray:
    """[C, C] by which residuals [n, C] get unit variance in all directions."""
    channels = rows.shape[1]
    covariance = rows.T @ rows / len(rows)
    covariance += (SHRINKAGE * np.trace(covariance) / channels + 1e-12) * np.eye(channels)
    variances, directions = np.linalg.eigh(covariance)
    return (directions / np.sqrt(variances)).astype(np.float32)
