# SPDX-License-Identifier: Apache-2.0
"""A joint whose encoder repeats one number while the others move. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.interface import NS

LONG = 5 * NS  # the same number for so long is worth a word,
MOVED = 0.3  # rad or m: if more than half of the other joints have moved so far meanwhile


class FrozenJoints:
    """Looks at the positions of an arm's joints; grippers, which may rest, are left out."""

    def __init__(self, joints: Sequence[str], grippers: Sequence[str] = ()) -> None:
        self._joints = [*joints]
        self._arm = np.array([joint not in grippers for joint in joints])
        self.forget()

    def forget(self) -> None:
        """The next positions are the first ones."""
        count = len(self._joints)
        self._last = np.full(count, np.nan)
        self._since = np.zeros(count, np.int64)
        # of every joint [second index] since the joint of the first index last changed
        self._low, self._high = np.full((count, count), np.inf), np.full((count, count), -np.inf)

    def look(self, positions: np.ndarray, now: int) -> str:
        """Which joint has said the same for how long while the arm moved; empty if none.

        positions: rad or m [D], NaN: not known; now: ns.
        """
        changed = positions != self._last
        self._since[changed] = now
        self._low[changed], self._high[changed] = positions, positions
        self._last = np.where(np.isnan(positions), self._last, positions)
        self._low, self._high = np.fmin(self._low, positions), np.fmax(self._high, positions)
        moved = (self._high - self._low >= MOVED) & self._arm
        still = self._arm & (now - self._since >= LONG) & np.isfinite(self._last)
        frozen = still & (moved.sum(axis=1) * 2 > self._arm.sum() - 1)
        if not frozen.any():
            return ""
        joint = int(frozen.argmax())
        return (
            f"{self._joints[joint]} has said {self._last[joint]:.4f} for "
            f"{(now - self._since[joint]) / NS:.1f} s while the others moved: is its encoder "
            "frozen?"
        )
