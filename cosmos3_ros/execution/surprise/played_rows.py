# SPDX-License-Identifier: Apache-2.0
"""The rows of a chunk as they were really played: slowed down, blended, or of the chunk before.

Pure; times are passed in, ns.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...model.interface import NS, ActionChunk
from ...robot.joint_history import JointHistory

KEPT = 4 * NS  # ns of set points
LONGEST = NS // 5  # ns between two set points that are interpolated


class PlayedRows:
    """Remembers what the commander wanted. One thread adds and asks."""

    def __init__(self) -> None:
        self._set_points = JointHistory(KEPT, LONGEST)

    def clear(self) -> None:
        """Nothing was commanded."""
        self._set_points.clear()

    def add(self, stamp: int, row: np.ndarray) -> None:
        """Set points of a moment, float64 in a chunk's columns; NaN where there is none."""
        self._set_points.add(stamp, row)

    def of(self, chunk: ActionChunk, base: int, until: int) -> ActionChunk | None:
        """The rows that are due until `until` if row 0 is due at `base` and one step.

        Columns that jump (grippers) are the chunk's own. None if nobody says what was commanded.
        """
        newest = self._set_points.newest
        if newest is None or newest < until - LONGEST:
            return None
        count = min(len(chunk.values), round((until - base) / chunk.step))
        values = chunk.values[:count].copy()
        moves = np.array([name not in chunk.discrete for name in chunk.names])
        for row in range(count):
            commanded = self._set_points.at(base + (row + 1) * chunk.step)
            values[row, moves] = commanded[moves]
        return dataclasses.replace(chunk, values=values) if count else None
