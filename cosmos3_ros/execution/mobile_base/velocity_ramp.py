# SPDX-License-Identifier: Apache-2.0
"""Velocities that change within limits, and go to zero when nothing is wanted. Pure.

A base keeps to the last velocity that it was told, so nothing wanted is a wish for zero.
"""

from __future__ import annotations

import numpy as np

from ...model.interface import NS

GAP = NS // 4  # ns; a base whose velocities paused for so long is taken to have stopped


class VelocityRamp:
    """The velocity to command, period by period.

    velocity, acceleration: largest magnitudes of each component, float64 [N], a second.
    """

    def __init__(self, velocity: np.ndarray, acceleration: np.ndarray) -> None:
        self._velocity, self._acceleration = velocity, acceleration
        self._now, self._last = np.zeros(len(velocity)), 0

    @property
    def is_moving(self) -> bool:
        """Whether the last velocity was not zero."""
        return bool(self._now.any())

    def step(self, wanted: np.ndarray | None, now: int) -> np.ndarray:
        """The velocity of `now` (ns), [N].

        wanted: what is aimed at [N], None: zero. All its components are reduced together, so that
        the base keeps to its curve.
        """
        passed, self._last = now - self._last, now
        if not 0 <= passed <= GAP:
            self._now, passed = np.zeros_like(self._now), 0
        target = np.zeros_like(self._now) if wanted is None else _within(wanted, self._velocity)
        change = _within(target - self._now, self._acceleration * (passed / NS))
        reached = np.array_equal(change, target - self._now)
        self._now = target if reached else self._now + change
        return self._now.copy()


def _within(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The same direction, no component beyond its limit [N]."""
    beyond = np.abs(values) > limits
    if not beyond.any():
        return values
    return values * float((limits[beyond] / np.abs(values[beyond])).min())
