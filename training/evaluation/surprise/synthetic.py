# SPDX-License-Identifier: Apache-2.0
"""Disturbances made up: undisturbed comparisons in which something is elsewhere, or did not move.

What a few places show is exchanged with what others of the same view show. Both stand still in the
prediction, and differ, so that a thing seems to have changed its place. No episode in which
anything really happened is needed, and where it happened is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

DIFFERENT, STILL = 0.15, 0.3  # mean squares in units of the spread: at least, and at most
STOPPED, MOVES = 0.1, 1.0  # share in which all motion stops; where the prediction moves so much
TRIES = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """The rectangle of places that belong to a view."""

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def all_of(cls, places: np.ndarray) -> list[Region]:
        """One for each view; places: as of `Reference`."""
        found = []
        for view in range(int(places.max()) + 1):
            rows, columns = (np.flatnonzero((places == view).any(axis)) for axis in (1, 0))
            if len(rows):
                size = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
                found.append(cls(int(rows[0]), int(columns[0]), *size))
        return found


def disturb(
    told: Tensor, channels: int, regions: Sequence[Region], random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """`network.evidence` of undisturbed comparisons, disturbed: the same, and which places are.

    told: [N, ..., h, w], its first three parts of `channels` are seen, predicted and begin; bool
    [N, h, w]. Where nothing was found to exchange nothing is disturbed.
    """
    told = told.clone()
    disturbed = torch.zeros(told.shape[0], *told.shape[2:], dtype=torch.bool)
    for x, where in zip(told, disturbed, strict=True):
        seen, predicted, begin = x[: 3 * channels].split(channels)
        moves = (predicted - begin).square().mean(0)
        if random.random() < STOPPED and moves.max() > MOVES:
            seen.copy_(begin + (seen - begin) * random.uniform(0.0, 0.3))
            where.copy_(moves > 0.5 * moves.max())
            continue
        for _ in range(TRIES):
            if _exchange(seen, moves, where, regions[int(random.integers(len(regions)))], random):
                break
    return told, disturbed


def _exchange(
    seen: Tensor, moves: Tensor, where: Tensor, region: Region, random: np.random.Generator
) -> bool:
    """Exchange a block of places with another one nearby, in place; False if they do not fit."""
    most = max(1, min(region.height, region.width) // 3)
    height, width = (int(random.integers(1, most + 1)) for _ in range(2))
    top, left = (
        first + int(random.integers(0, size - part + 1))
        for first, size, part in (
            (region.top, region.height, height),
            (region.left, region.width, width),
        )
    )
    down, right = (int(step) for step in random.integers(-2, 3, 2))
    inside = (
        region.top <= top + down <= region.top + region.height - height
        and region.left <= left + right <= region.left + region.width - width
    )
    if not inside or (abs(down) < height and abs(right) < width):
        return False
    here = slice(top, top + height), slice(left, left + width)
    there = (
        slice(top + down, top + down + height),
        slice(left + right, left + right + width),
    )
    one, other = seen[:, *here].clone(), seen[:, *there].clone()
    if (one - other).square().mean() < DIFFERENT or max(
        float(moves[here].max()), float(moves[there].max())
    ) > STILL:
        return False
    share = random.uniform(0.5, 1.0) if random.random() < 0.5 else 1.0  # a part of a place
    seen[:, *there] = share * one + (1 - share) * other
    where[there] = True
    if random.random() < 0.5:  # else what was there stays: a second one has come
        seen[:, *here] = share * other + (1 - share) * one
        where[here] = True
    return True
