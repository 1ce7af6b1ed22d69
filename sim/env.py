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
from .real_time_pace import TICKS_PER_SECOND
from .simulation import Simulation

ACTIONS_PER_SECOND = 15
_TICKS = TICKS_PER_SECOND // ACTIONS_PER_SECOND


class Env:
    """One episode at a time.

    An action is [8] for each arm: seven joint positions (rad) and the closure of its gripper.

    It means what a row of an ActionChunk means: the joints arrive there at the end of the step, in
    a straight line, and the gripper begins to move there then. `views` may be empty, then nothing
    is rendered and no OpenGL is needed.
    """

    def __init__(
        self,
        views: Sequence[str] | None = None,
        height: int = 180,
        width: int = 320,
        distractors: int = 2,
    ) -> None:
        self.simulation = Simulation(height, width, distractors)
        """views: those that are rendered, None: of all cameras of the scene."""
        self._views = None if views is None else tuple(views)
        self._arms, self._fingers = np.zeros((1, 7)), np.zeros(1)  # by arm

    def reset(self, task: str, seed: int, wording: int = 0) -> Observation:
        """Begin an episode; time starts at 0.

        Raises ValueError for an unknown task, seed or wording.
        """
        self.begin(task, seed, wording)
        return self.observe()

    def begin(self, task: str, seed: int, wording: int = 0) -> None:
        """`reset` without a look: pictures cost most of the time."""
        self.simulation.reset(task, seed, wording)
        self._arms = self.simulation.layout.start.reshape(-1, 7).copy()
        self._fingers = np.zeros(len(self._arms))

    def go_on_from(self, other: Simulation) -> None:
        """Be at the present moment of another episode."""
        self.simulation.go_on_from(other)
        arms = self.simulation.world.arms
        self._arms = np.stack([arm.targets() for arm in arms])
        self._fingers = np.array([arm.finger for arm in arms])

    def step(self, action: np.ndarray) -> Observation:
        """Act for 1/15 s and look. ValueError unless that is 8 finite numbers for each arm."""
        self.move(action)
        return self.observe()

    def move(self, action: np.ndarray) -> None:
        """Act for 1/15 s without looking. ValueError unless action is 8 finite numbers an arm."""
        action, width = np.asarray(action, float), 8 * len(self._arms)
        if action.shape != (width,) or not np.isfinite(action).all():
            raise ValueError(f"action: expected {width} finite numbers, got {action.tolist()}")
        rows = action.reshape(-1, 8)
        alone = float(self._fingers[0]) if len(rows) == 1 else None
        before, self._arms = self._arms, rows[:, :7].copy()
        for tick in range(1, _TICKS + 1):
            joints = before + (self._arms - before) * (tick / _TICKS)
            self.simulation.tick(joints.ravel(), self._fingers if alone is None else alone)
        self._fingers = rows[:, 7] * FINGER_CLOSED

    @property
    def success(self) -> bool:
        """Whether the task has been solved since the reset."""
        return self.simulation.success

    def observe(self, look: bool = True) -> Observation:
        """State (joints in rad, closure) and, if `look`, images at this moment.

        They cost most of the time.
        """
        joints = self.simulation.world.positions()
        joints[7::8] = [closure(finger) for finger in joints[7::8]]
        views = self.simulation.views if self._views is None else self._views
        return Observation(
            images={view: self.simulation.render(view) for view in views if look},
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
