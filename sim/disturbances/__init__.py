# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a scene while an arm moves in it: the kinds, and when one of them happens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..layout import Layout
from ..real_time_pace import TICKS_PER_SECOND
from ..world import World
from .acts import Act, Blocked, Bump, Light, Moved, Slip

KINDS: dict[str, Callable[[np.random.Generator], Act]] = {
    "moved": Moved,  # the cube of the task, by a hand
    "slip": Slip,  # it slides out of the gripper
    "bump": Bump,  # of a camera's stand
    "light": Light,
    "blocked": Blocked,  # the arm
}


class Disturbance:
    """One disturbance of an episode.

    kind: one of KINDS; seed: decides when, how far and where to. after: s of the episode before
    which nothing happens. `began` is when it did, in ticks; None before.
    """

    def __init__(self, kind: str, seed: int, after: tuple[float, float] = (0.8, 1.8)) -> None:
        if kind not in KINDS:
            raise ValueError(f"disturbance: expected one of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self._random = kind, np.random.default_rng((seed, len(KINDS)))
        self._after = round(self._random.uniform(*after) * TICKS_PER_SECOND)
        self._act = KINDS[kind](self._random)
        self.began: int | None = None

    def tick(self, world: World, layout: Layout, ticks: int, targets: np.ndarray) -> np.ndarray:
        """Disturb the world for one tick, before it advances; what the servos get instead, rad.

        ticks: since the beginning of the episode.
        """
        if self.began is None:
            if ticks < self._after or not self._act.can_begin(world, layout):
                return targets
            self.began = ticks
        return self._act.at(world, (ticks - self.began) / TICKS_PER_SECOND, targets)
