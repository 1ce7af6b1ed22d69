# SPDX-License-Identifier: Apache-2.0
"""One column of a state or a command, and how raw columns are scaled for the network. numpy only."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One number of a state or a command: name, unit, and whether it is a gripper (0 = open, 1 = closed; it jumps)."""

    name: str
    unit: str
    gripper: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Normalization:
    """Per column: the raw values that the model sees as -1 and 1 (quantile, min_max) or as 0 and 1 (mean_std)."""

    kind: str = "none"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    floor: float = 1e-8

    def __post_init__(self) -> None:
        if self.kind not in ("none", "quantile", "min_max", "mean_std"):
            raise ValueError(
                f"Normalization.kind: expected none, quantile, min_max or mean_std, got {self.kind!r}"
            )

    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.array(self.low), np.array(self.high)
        if self.kind == "mean_std":
            return low, np.maximum(high, self.floor)
        span = np.maximum(high - low, self.floor)
        return low + span / 2, span / 2

    def forward(self, rows: np.ndarray) -> np.ndarray:
        """Raw [..., D] -> what the network sees."""
        if self.kind == "none":
            return rows
        center, scale = self._scale()
        return (rows - center) / scale

    def inverse(self, rows: np.ndarray) -> np.ndarray:
        """What the network says [..., D] -> raw."""
        if self.kind == "none":
            return rows
        center, scale = self._scale()
        return rows * scale + center
