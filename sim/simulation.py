# SPDX-License-Identifier: Apache-2.0
"""One episode after another: scene, physics, cameras, success.

The ROS node and the in-process Env both drive this.
"""

from __future__ import annotations

import numpy as np

from ..model.interface import NS
from .cameras import Cameras, intrinsics
from .layout import Layout, cameras_of
from .real_time_pace import TICKS_PER_SECOND
from .tasks import arrange, find, instruction
from .world import World

# A task counts as solved when it has been for this many checks on end, and it is checked this
# often.
_CHECKS, _CHECKS_PER_SECOND = 3, 15


class Simulation:
    """The running episode.

    Everything about it is decided by task, seed, `distractors` and `wording`. opened: what a
    gripper says when it is open.
    """

    rate, opened = TICKS_PER_SECOND, 0.0

    def __init__(self, height: int = 180, width: int = 320, distractors: int = 2) -> None:
        """height, width: of the images, pixels.

        distractors: the most cubes in a scene that its task does not need.
        """
        self.height, self.width, self._distractors = height, width, distractors
        self.world: World
        self.layout: Layout
        self.task, self.seed, self.instruction = "", -1, ""
        self.success = False
        self.ticks = 0
        self._cameras: Cameras | None = None
        self._held = 0

    def reset(self, task: str, seed: int, wording: int = 0) -> None:
        """Begin an episode.

        Raises ValueError, with nothing changed, if there is no such task, seed or wording.
        """
        layout = arrange(task, seed, self._distractors)
        words, kind = instruction(task, layout, wording), find(task).kind
        if not self.task or self.world.kind != kind:
            self.close()
            self.world = World(kind)
        self.task, self.seed, self.layout, self.instruction = task, seed, layout, words
        self.world.arrange(layout)
        self.success, self.ticks, self._held = False, 0, 0

    def go_on_from(self, other: Simulation) -> None:
        """Be at the present moment of another one's episode, with the same `distractors`."""
        if (self.task, self.seed) != (other.task, other.seed):
            self.reset(other.task, other.seed)
        self.instruction, self.success = other.instruction, other.success
        self.ticks, self._held = other.ticks, other._held
        self.world.go_on_from(other.world)

    @property
    def elapsed(self) -> int:
        """Simulated time since the reset, ns."""
        return self.ticks * NS // TICKS_PER_SECOND

    @property
    def views(self) -> tuple[str, ...]:
        """The cameras of the scene."""
        return tuple(camera.view for camera in cameras_of(self.world.kind))

    def tick(self, arm: np.ndarray, finger: float | np.ndarray) -> None:
        """Advance by 1 / TICKS_PER_SECOND towards targets of joints [7] and finger, rad.

        Of two arms [14] and [2].
        """
        self.world.drive(arm, finger)
        self.world.tick()
        self.ticks += 1
        if self.ticks % (TICKS_PER_SECOND // _CHECKS_PER_SECOND) == 0:
            self._held = self._held + 1 if find(self.task).solved(self.world, self.layout) else 0
            self.success = self.success or self._held >= _CHECKS

    @property
    def start(self) -> np.ndarray:
        """Where the arm begins, rad [7]; two arms: [14]."""
        return self.layout.start

    def positions(self) -> np.ndarray:
        """Measured positions of the joints, rad [8]; two arms: [16]."""
        return self.world.positions()

    def velocities(self) -> np.ndarray:
        """Measured velocities of the joints, rad/s [8]; two arms: [16]."""
        return self.world.velocities()

    def size(self, view: str) -> tuple[int, int]:
        """Height and width of a view's images, pixels: one for all."""
        return self.height, self.width

    def intrinsics(self, view: str) -> np.ndarray:
        """The matrix K [3, 3] of a view's pinhole camera, pixels."""
        return intrinsics(self.world, view, self.height, self.width)

    def render(self, view: str) -> np.ndarray:
        """What a view shows now: uint8 [height, width, 3]. Raises RuntimeError without OpenGL."""
        if self._cameras is None:
            self._cameras = Cameras(self.world, self.height, self.width)
        return self._cameras.render(view)

    def close(self) -> None:
        """Free the OpenGL context, in the thread that rendered."""
        if self._cameras is not None:
            self._cameras.close()
        self._cameras = None
