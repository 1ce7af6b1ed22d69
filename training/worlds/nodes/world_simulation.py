# SPDX-License-Identifier: Apache-2.0
"""A world as the simulation's node plays one: in ticks of its own steps, by joints and topics.

The numbers of a command are joints of an arm, whatever they are to the world; an effort of fingers,
if it is the last of them, is its gripper's. They are where they were commanded to be. Those of a
state that no command has are only measured.
"""

from __future__ import annotations

import numpy as np

from ....model.embodiment.units import from_si, to_si
from ....model.interface import NS
from ..world import World


class WorldSimulation:
    """The running episode of a world. Raises ValueError for one without whole steps per second."""

    opened = 0.0

    def __init__(self, world: World) -> None:
        self.world, self.rate = world, round(world.fps)
        if self.rate < 1 or abs(self.rate - world.fps) > 1e-6:
            raise ValueError(
                f"{world.name}: expected a whole number of steps per second, got {world.fps}"
            )
        self.views = world.views
        names, last = tuple(column.name for column in world.commands), world.commands[-1]
        self.finger = last.name if last.unit == "controller" and len(names) > 1 else ""
        self.arm = names[:-1] if self.finger else names
        self.task, self.seed = "", -1
        self._ticks = self._steps = 0
        self._before = np.zeros(len(names))
        # What was in force after the reset, until something else is commanded.
        self._begin: np.ndarray | None = None
        self._sizes: dict[str, tuple[int, int]] = {}

    @property
    def start(self) -> np.ndarray:
        """The joints that are in force after a reset [D]."""
        return self.positions()[: len(self.arm)]

    @property
    def instruction(self) -> str:
        """What is to be done, in words."""
        return self.world.instruction

    @property
    def success(self) -> bool:
        """Whether it has been done."""
        return self.world.success

    @property
    def elapsed(self) -> int:
        """Since something was first commanded in this episode, ns."""
        return self._ticks * NS // self.rate

    def reset(self, task: str, seed: int, wording: int = 0) -> None:
        """Begin an episode; ValueError for an unknown task, a seed or another wording."""
        if wording:
            raise ValueError(f"wording of {self.world.name}: expected 0, got {wording}")
        self.world.reset(task, seed)
        self.task, self.seed = task, seed
        self._ticks = self._steps = 0
        self._before = self._begin = self.positions()

    def tick(self, arm: np.ndarray, finger: np.ndarray) -> None:
        """Take a step towards these joints [D] and the fingers' effort [1].

        The world rests until something is commanded, as it does for a policy in one process, and
        after the horizon.
        """
        self._before = self.positions()
        told = np.append(arm, finger) if self.finger else arm
        if self._begin is not None and np.allclose(told, self._begin, rtol=0, atol=1e-9):
            return
        self._begin = None
        self._ticks += 1
        if self._steps < self.world.horizon:
            self.world.step(self.world.to_action(to_si(told, self.world.commands)))
            self._steps += 1

    def positions(self) -> np.ndarray:
        """The command in force, joints and effort."""
        return from_si(np.asarray(self.world.command, float), self.world.commands)

    def velocities(self) -> np.ndarray:
        """How fast it changes, per second."""
        return (self.positions() - self._before) * self.rate

    def readings(self) -> dict[str, float]:
        """The numbers of the state that no command has, by name."""
        state = from_si(self.world.observe(look=False).state.astype(float), self.world.state)
        names = [column.name for column in self.world.state]
        return {
            name: float(number)
            for name, number in zip(names, state, strict=True)
            if name not in (*self.arm, self.finger)
        }

    def size(self, view: str) -> tuple[int, int]:
        """Height and width of a view's pictures."""
        if view not in self._sizes:
            self.render(view)
        return self._sizes[view]

    def intrinsics(self, view: str) -> np.ndarray:
        """Zeros [3, 3]: a world does not tell."""
        return np.zeros((3, 3))

    def render(self, view: str) -> np.ndarray:
        """A picture, uint8 [H, W, 3]."""
        image = self.world.observe().images[view]
        self._sizes[view] = image.shape[0], image.shape[1]
        return image

    def close(self) -> None:
        """Free what the world holds."""
        self.world.close()
