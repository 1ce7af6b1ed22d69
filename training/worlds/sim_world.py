# SPDX-License-Identifier: Apache-2.0
"""The simulated arm of this package as a world: its tasks, its experts, steps of 1/15 s.

A command is an action: joint positions (rad) and the closure of the gripper.
"""

from __future__ import annotations

import numpy as np

from ...model.embodiment import EMBODIMENTS
from ...model.interface import Observation
from ...sim.env import ACTIONS_PER_SECOND, Env, shared_env
from ...sim.expert import Expert
from ...sim.tasks import SUITES, TASKS, robot_of
from ..data.demonstrations import LIMIT, scene_truth
from ..data.ground_truth import SIMULATED
from ..options import GroundTruthOptions
from .world import Act, ActsByCommands, ExamProtocol, check_action, check_task

SUITE = ExamProtocol(
    "suite",
    "docs/evaluation.md",
    episodes=20,
    seed=0,
    groups={name: SUITES[name] for name in ("basic", "hard")},
)


class SimWorld(ActsByCommands):
    """The simulation of this package; every task has a simulation of its own in the process."""

    name = "sim"
    protocol = SUITE
    tasks = tuple(TASKS)
    fps = float(ACTIONS_PER_SECOND)
    horizon = LIMIT
    ground_truth: GroundTruthOptions | None = SIMULATED
    noise: tuple[float, ...] = (*(0.01,) * 7, 0.0)  # rad
    pull: tuple[float, ...] = (*(0.12,) * 7, 0.0)

    def __init__(self, protocol: str = "", seed: int | None = None, exam: bool = True) -> None:
        if protocol not in ("", SUITE.name):
            raise ValueError(f"protocol of sim: expected {SUITE.name}, got {protocol!r}")
        embodiment = EMBODIMENTS[robot_of(self.tasks[0])]
        self.views, self.state, self.commands = (
            embodiment.views,
            embodiment.state,
            embodiment.action,
        )
        self._env: Env | None = None
        self._command = np.zeros(8)

    def reset(self, task: str, seed: int) -> None:
        check_task(self.name, task, self.tasks)
        self._env = shared_env(task)
        self._env.begin(task, seed)
        self._command = np.append(self._env.simulation.layout.start, 0.0)

    @property
    def _running(self) -> Env:
        if self._env is None:
            raise ValueError("sim: expected reset before anything else")
        return self._env

    @property
    def instruction(self) -> str:
        return self._running.simulation.instruction

    @property
    def success(self) -> bool:
        return self._running.success

    def observe(self, look: bool = True) -> Observation:
        return self._running.observe(look)

    def step(self, action: np.ndarray) -> None:
        numbers = check_action(self.name, action, 8)
        self._running.move(numbers)
        self._command = numbers

    def expert(self) -> Act:
        return Expert(self._running.simulation).act

    def truth(self) -> np.ndarray:
        """As `GroundTruth` has it; NaN for things that are not there."""
        return scene_truth(self._running)

    def close(self) -> None:
        """Nothing: this process's simulations are shared."""
        self._env = None
