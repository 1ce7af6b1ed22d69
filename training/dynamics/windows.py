# SPDX-License-Identifier: Apache-2.0
"""Long clips as overlapping windows: where they begin, how their rows are blended, how they agree.

numpy only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.units import ANGLE, COUNT, LENGTH, QUATERNION

GRIPPER = "gripper"  # rows in which one side says open and the other closed
# Rows in which a window takes over from the one before. Few: its first rows, near to the state that
# it begins with, are more exact than the last ones of the other.
FADE = 3
# What differences are told in: unit inside of the package -> (unit, how many of it).
_TOLD = {"rad": ("mrad", 1000.0), "m": ("mm", 1000.0)}


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Commands of consecutive rows, the first of which is row `start` of the clip."""

    start: int
    values: np.ndarray  # float32 [N, D], columns and units of `Embodiment.action`

    @property
    def end(self) -> int:
        return self.start + len(self.values)

    def part(self, begin: int, end: int) -> np.ndarray:
        """Those of rows `begin` to `end` of the clip, which it has."""
        return self.values[begin - self.start : end - self.start]


def window_starts(rows: int, horizon: int, overlap: int) -> list[int]:
    """First rows of the windows of `horizon` rows over `rows`, neighbors sharing `overlap`.

    The last window ends with the clip and shares more. ValueError unless 0 <= overlap < horizon.
    """
    if not 0 <= overlap < horizon:
        raise ValueError(f"overlap: expected 0 to {horizon - 1} rows, got {overlap}")
    last = max(0, rows - horizon)
    return [*range(0, last, horizon - overlap), last]


def blend(windows: Sequence[Rows], embodiment: Embodiment) -> np.ndarray:
    """One command for each row, float32 [rows, D], from windows that share rows.

    Each window takes over from those before it within FADE rows, linearly; grippers jump halfway,
    quaternions stay of length 1.
    """
    found = np.zeros((max(window.end for window in windows), len(embodiment.action)))
    discrete = np.array([column.gripper for column in embodiment.action])
    turns, end = _quaternions(embodiment), 0
    for window in windows:
        values, place = window.values.astype(np.float64), slice(window.start, window.end)
        share = np.minimum(1.0, np.arange(1, len(values) + 1) / (FADE + 1))[:, None]
        share[max(0, end - window.start) :] = 1.0  # nobody has said anything of these rows
        before = found[place]
        for turn in turns:
            against = (before[:, turn] * values[:, turn]).sum(axis=1) < 0
            values[against, turn] *= -1.0  # the same rotation
        mixed = (1 - share) * before + share * values
        found[place] = np.where(discrete, np.where(share > 0.5, values, before), mixed)
        end = max(end, window.end)
    for turn in turns:
        found[:, turn] /= np.linalg.norm(found[:, turn], axis=1, keepdims=True)
    return found.astype(np.float32)


def overlaps(windows: Sequence[Rows]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What each window and the next one say of the rows that they share."""
    for one, other in pairwise(windows):
        begin, end = max(one.start, other.start), min(one.end, other.end)
        if begin < end:
            yield one.part(begin, end), other.part(begin, end)


class Differences:
    """Differences between commands, by what their columns measure, over any number of pairs."""

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._found: dict[str, list[np.ndarray]] = {}

    def add(self, one: np.ndarray, other: np.ndarray) -> None:
        """Commands [N, D] of the same rows, said twice."""
        for unit, columns in _measured(self._embodiment).items():
            if unit == GRIPPER:
                said = (one[:, columns] > 0.5) != (other[:, columns] > 0.5)
            else:
                said = np.abs(one[:, columns] - other[:, columns])
            self._note(unit, said)
        for turn in _quaternions(self._embodiment):
            cosine = np.abs((one[:, turn].astype(float) * other[:, turn]).sum(axis=1))
            self._note("rad", 2 * np.arccos(np.clip(cosine, 0.0, 1.0)))

    def extend(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Differences:
        """`add` of each pair."""
        for one, other in pairs:
            self.add(one, other)
        return self

    def summary(self) -> dict[str, dict[str, float]]:
        """Unit -> mean and 95th percentile; of grippers the share of rows that differ. No NaN."""
        result = {}
        for unit, parts in self._found.items():
            values = np.concatenate(parts)
            if unit == GRIPPER:
                result[unit] = {"differ": float(values.mean()), "rows": len(values)}
                continue
            name, many = _TOLD.get(unit, (unit, 1.0))
            mean, high = many * values.mean(), many * np.percentile(values, 95)
            result[name] = {"mean": float(mean), "p95": float(high), "numbers": len(values)}
        return result

    def _note(self, unit: str, values: np.ndarray) -> None:
        self._found.setdefault(unit, []).append(np.ravel(values).astype(np.float64))


def tell(summary: Mapping[str, Mapping[str, float]]) -> str:
    """The summary of `Differences` in words."""
    parts = [
        f"gripper differs in {one['differ']:.1%} of the rows"
        if unit == GRIPPER
        else f"{one['mean']:.1f} {unit} (p95 {one['p95']:.1f})"
        for unit, one in summary.items()
    ]
    return ", ".join(parts) or "nothing to compare"


def _measured(embodiment: Embodiment) -> dict[str, list[int]]:
    """Unit inside of the package -> columns of the action, without quaternions."""
    found: dict[str, list[int]] = {}
    for number, column in enumerate(embodiment.action):
        if column.quantity == QUATERNION:
            continue
        unit = {ANGLE: "rad", COUNT: "rad", LENGTH: "m"}.get(column.quantity, column.unit)
        found.setdefault(GRIPPER if column.gripper else unit, []).append(number)
    return found


def _quaternions(embodiment: Embodiment) -> list[slice]:
    """Where each quaternion of a command stands; its four columns follow each other."""
    columns = [column.quantity == QUATERNION for column in embodiment.action]
    numbers = np.flatnonzero(columns)
    return [slice(int(first), int(first) + 4) for first in numbers[::4]]
