# SPDX-License-Identifier: Apache-2.0
"""One episode after another with the robot of a scene file: what `sim.Simulation` is for DROID's.

The ROS node drives either in the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...model.interface import NS
from ..gl import make_renderer, mujoco
from ..real_time_pace import TICKS_PER_SECOND
from .scene_world import SceneWorld
from .schema import Scene

_CHECKS, _CHECKS_PER_SECOND = 3, 15  # so many good ones on end: solved
_NEAR = 0.5  # of the way from open to closed: what it holds may keep a gripper from arriving


class SceneSimulation:
    """The running episode. Raises ValueError for a model that does not fit the scene file."""

    rate = TICKS_PER_SECOND

    def __init__(self, scene: Scene) -> None:
        self.scene, self.world = scene, SceneWorld(scene)
        self.task, self.seed, self.success, self.ticks, self._held = "", -1, False, 0, 0
        self.start = scene.home
        self._renderers: dict[tuple[int, int], Any] = {}
        self._show = mujoco.MjvOption()
        self._show.geomgroup[3] = 0  # collision shapes, by custom
        self._show.sitegroup[:] = 0

    @property
    def arm(self) -> tuple[str, ...]:
        """The arm's joints in joint_states."""
        return tuple(column.name for column in self.scene.columns)

    @property
    def finger(self) -> str:
        """The gripper's joint in joint_states; empty: none."""
        return self.scene.gripper.column.name if self.scene.gripper else ""

    @property
    def opened(self) -> float:
        """What the gripper says when it is open."""
        return self.world.opened

    @property
    def views(self) -> tuple[str, ...]:
        """The cameras."""
        return tuple(self.scene.cameras)

    @property
    def instruction(self) -> str:
        """What is to be done."""
        return self.scene.task(self.task).instruction

    @property
    def elapsed(self) -> int:
        """Simulated time since the reset, ns."""
        return self.ticks * NS // TICKS_PER_SECOND

    def reset(self, task: str, seed: int, wording: int = 0) -> None:
        """Begin an episode; ValueError, with nothing changed, if there is no such task."""
        motion = self.scene.task(task)
        if wording:
            raise ValueError(f"wording: a task of a scene file has one, 0; got {wording}")
        self.task, self.seed = task, seed
        self.start = motion.begin(self.scene.home, seed)
        self.world.place(self.start)
        self.success, self.ticks, self._held = False, 0, 0

    def tick(self, arm: np.ndarray, finger: float | np.ndarray) -> None:
        """Advance by 1 / TICKS_PER_SECOND towards targets in the units of the topics."""
        self.world.drive(arm, float(np.squeeze(finger)))
        self.world.tick()
        self.ticks += 1
        if self.ticks % (TICKS_PER_SECOND // _CHECKS_PER_SECOND) == 0:
            self._held = self._held + 1 if self._arrived() else 0
            self.success = self.success or self._held >= _CHECKS

    def _arrived(self) -> bool:
        """Whether arm and gripper are where the task ends."""
        motion, positions = self.scene.task(self.task), self.world.positions()
        count = len(self.scene.columns)
        near = bool((np.abs(positions[:count] - motion.goal) <= motion.tolerance).all())
        if motion.gripper is None or self.scene.gripper is None:
            return near
        off = (positions[-1] - motion.gripper) / self.scene.gripper.column.span
        return near and abs(off) <= _NEAR

    def positions(self) -> np.ndarray:
        """Measured positions of the joints, the gripper last, in the units of the topics."""
        return self.world.positions()

    def velocities(self) -> np.ndarray:
        """Measured velocities of the joints, the gripper last."""
        return self.world.velocities()

    def size(self, view: str) -> tuple[int, int]:
        """Height and width of a view's images, pixels."""
        camera = self.scene.cameras[view]
        return camera.height, camera.width

    def intrinsics(self, view: str) -> np.ndarray:
        """The matrix K [3, 3] of a view's pinhole camera, pixels."""
        return self.world.intrinsics(view)

    def render(self, view: str) -> np.ndarray:
        """What a view shows now: uint8 [height, width, 3]. Raises RuntimeError without OpenGL."""
        size = self.size(view)
        if size not in self._renderers:
            self._renderers[size] = made = make_renderer(self.world.model, *size)
            made.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            made.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        renderer = self._renderers[size]
        camera = self.scene.cameras[view].camera or view
        renderer.update_scene(self.world.data, camera=camera, scene_option=self._show)
        return np.asarray(renderer.render())

    def close(self) -> None:
        """Free the OpenGL contexts, in the thread that rendered."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers = {}
