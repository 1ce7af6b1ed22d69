# SPDX-License-Identifier: Apache-2.0
"""Meta-World's hand as a policy commands it: where an episode's own actions add up to.

An action of Meta-World moves a mocap body that the hand follows, and no observation says where that
is; so whoever plays adds the actions up. Nothing here imports Meta-World.
"""

from __future__ import annotations

import numpy as np

WAY = 0.01  # m of an action of 1
# Corners of where commands are counted, m: what the workspaces of all 50 tasks lie in.
_LOW, _HIGH = np.array([-0.5, 0.35, -0.15]), np.array([0.5, 1.0, 0.5])
_OPEN = -1.0  # effort that opens the fingers, in force after a reset


class CommandedHand:
    """The command in force of a running episode: a place for the hand, m, and the effort."""

    def __init__(self) -> None:
        self._place, self._effort = np.zeros(3), _OPEN

    def begin(self, hand: np.ndarray) -> None:
        """An episode begins with the hand there, m [3]; the fingers open."""
        self._place, self._effort = np.array(hand[:3], float), _OPEN

    def state(self, told: np.ndarray) -> np.ndarray:
        """What a policy is told: hand, how far it is closed, the place commanded, float32 [7].

        told: the first four numbers of Meta-World's observation, hand in m and how far it is open.
        """
        return np.array([*told[:3], 1.0 - told[3], *self._place], np.float32)

    @property
    def command(self) -> np.ndarray:
        """Float [4]."""
        return np.append(self._place, self._effort)

    def to_command(self, action: np.ndarray) -> np.ndarray:
        """Where an action [4] sends the hand to if it is taken now, m, and the effort [4]."""
        clipped = clip(np.asarray(action))
        return np.append(self._target(clipped), clipped[3])

    def to_action(self, command: np.ndarray) -> np.ndarray:
        """The way from the command in force to this one, at most 1 cm an axis, and the effort."""
        return np.append((command[:3] - self._place) / WAY, command[3]).clip(-1, 1)

    def take(self, action: np.ndarray) -> np.ndarray:
        """An action [4] is taken; what Meta-World is told then, float32 [4] within [-1, 1]."""
        clipped = clip(action)
        self._place, self._effort = self._target(clipped), float(clipped[3])
        return clipped

    def _target(self, clipped: np.ndarray) -> np.ndarray:
        return np.clip(self._place + WAY * clipped[:3].astype(float), _LOW, _HIGH)


def clip(action: np.ndarray) -> np.ndarray:
    """As the published loops hand it over: float32 [4] within [-1, 1]."""
    return np.clip(action.astype(np.float32), -1, 1)
