# SPDX-License-Identifier: Apache-2.0
"""The simulation as a function call: observation in, action out, at 15 Hz.

For collecting data and for evaluation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ..model.interface import Observation
from .arm_constants import FINGER_CLOSED, closure
from .camera_table import VIEWS
from .real_time_pace import TICKS_PER_SECOND
from .simulation import Simulation

ACTIONS_PER_SECOND = 15
_TICKS = TICKS_PER_SECOND // ACTIONS_PER_SECOND


class Env:
    """One episode at a time.

    An action is [8]: seven joint positions (rad) and the closure of the gripper (0..1).

    It means what a row of an ActionChunk means: the joints arrive there at the end of the step, in
    a straight line, and the gripper begins to move there then. `views` may be empty, then nothing
    is rendered and no OpenGL is needed.
    """

    def __init__(
        self,
        views: Sequence[str] = VIEWS,
        height: int = 180,
        width: int = 320,
        distractors: int = 2,
    ) -> None:
        self.simulation = Simulation(height, width, distractors)
        self._views = tuple(views)
        self._arm, self._finger = np.zeros(7), 0.0

    def reset(self, task: str, seed: int, wording: int = 0) -> Observation:
        """Begin an episode; time starts at 0.

        Raises ValueError for an unknown task, seed or wording.
        """
        self.simulation.reset(task, seed, wording)
        self._arm, self._finger = self.simulation.layout.start.copy(), 0.0
        return self.observe()

    def step(self, action: np.ndarray) -> Observation:
        """Act for 1/15 s and look. Raises ValueError unless action is 8 finite numbers."""
        self.move(action)
        return self.observe()

    def move(self, action: np.ndarray) -> None:
        """Act for 1/15 s without looking. Raises ValueError unless action is 8 finite numbers."""
        action = np.asarray(action, float)
        if action.shape != (8,) or not np.isfinite(action).all():
            raise ValueError(f"action: expected 8 finite numbers, got {action.tolist()}")
        before, self._arm = self._arm, action[:7].copy()
        for tick in range(1, _TICKS + 1):
            self.simulation.tick(before + (self._arm - before) * (tick / _TICKS), self._finger)
        self._finger = float(action[7]) * FINGER_CLOSED

    @property
    def success(self) -> bool:
        """Whether the task has been solved since the reset."""
        return self.simulation.success

    def observe(self, look: bool = True) -> Observation:
        """State (joints in rad, closure) and, if `look`, images at this moment.

        They cost most of the time.
        """
        joints = self.simulation.world.positions()
        joints[7] = closure(joints[7])
        return Observation(
            images={view: self.simulation.render(view) for view in self._views if look},
            state=joints.astype(np.float32),
            instruction=self.simulation.instruction,
            stamp=self.simulation.elapsed,
        )

    def close(self) -> None:
        self.simulation.close()


@functools.cache
def shared_env(task: str, height: int = 180, width: int = 320, distractors: int = 2) -> Env:
    """This process's environment for a task: making one takes longer than an episode.

    Each task has its own, because another scene must be compiled and its renderer opened. Use it
    in one thread, one episode at a time, and do not close it.
    """
    return Env(height=height, width=width, distractors=distractors)
