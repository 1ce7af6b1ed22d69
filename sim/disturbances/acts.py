# SPDX-License-Identifier: Apache-2.0
"""What disturbs a scene: each kind says when it can begin, and what it does in every tick."""

from __future__ import annotations

import math

import numpy as np

from ..camera_table import CAMERAS, EXTERIOR
from ..gl import mujoco
from ..layout import Layout
from ..world import World

HAND = 0.3  # s that a hand takes to move a cube
SLIDE, SLIDE_SPEED = 0.03, 0.3  # m that a cube slides out of the gripper, and how fast, m/s
BLOCKED = 1.5  # s for which an arm does not move
_CLEAR = 0.09  # m between the tool and a cube that a hand takes
_LIFTED = 0.01  # m above the table: held
_TABLE = (0.38, 0.62), (-0.22, 0.22)  # x and y of places that the arm reaches, m
_FREE = 0.06  # m between two cubes


class Act:
    """One kind of disturbance. random: decides how far and where to, when it begins."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def can_begin(self, world: World, layout: Layout) -> bool:
        """Whether it can happen now; it does then."""
        return True

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        """So long after it began."""
        raise NotImplementedError


class Moved(Act):
    """A hand takes the cube of the task and puts it down 6 to 15 cm away."""

    def can_begin(self, world: World, layout: Layout) -> bool:
        if layout.target not in layout.cubes:
            return False
        place = world.position(layout.target)
        far = np.linalg.norm(world.tool() - place) > _CLEAR
        if not far or place[2] > layout.half + 0.005:
            return False
        others = [world.position(color)[:2] for color in layout.cubes if color != layout.target]
        for _ in range(100):
            turn, way = self.random.uniform(-math.pi, math.pi), self.random.uniform(0.06, 0.15)
            to = place[:2] + way * np.array([math.cos(turn), math.sin(turn)])
            inside = all(low < x < high for x, (low, high) in zip(to, _TABLE, strict=True))
            if inside and all(np.linalg.norm(to - other) > _FREE for other in others):
                self._cube, self._from, self._to = layout.target, place[:2].copy(), to
                return True
        return False

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        if seconds <= HAND:
            share = (1 - math.cos(math.pi * seconds / HAND)) / 2
            joint = world.data.joint(self._cube)
            joint.qpos[:2] = self._from + share * (self._to - self._from)
            joint.qvel[:] = 0.0
        return targets


class Slip(Act):
    """The cube that is held slides down out of the gripper, and falls."""

    def can_begin(self, world: World, layout: Layout) -> bool:
        if layout.target not in layout.cubes:
            return False
        self._cube = layout.target
        self._from = world.position(layout.target)
        return bool(self._from[2] > layout.half + _LIFTED + SLIDE)

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        slid = SLIDE_SPEED * seconds
        if slid <= SLIDE:
            joint = world.data.joint(self._cube)
            joint.qpos[:3] = self._from - (0.0, 0.0, slid)
            joint.qvel[:] = (0.0, 0.0, -SLIDE_SPEED, 0.0, 0.0, 0.0)
        return targets


class Bump(Act):
    """Somebody runs into a camera's stand: it moves by 1 to 3 cm and turns by 2 to 4 degrees."""

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        if seconds == 0.0:
            view = CAMERAS[int(self.random.choice(EXTERIOR))]
            camera = world.model.camera(view.mujoco_name)
            camera.pos[:] += self._vector(self.random.uniform(0.01, 0.03))
            turn, quaternion = np.zeros(4), camera.quat.copy()
            angle = math.radians(self.random.uniform(2.0, 4.0))
            mujoco.mju_axisAngle2Quat(turn, self._vector(1.0), angle)
            mujoco.mju_mulQuat(camera.quat, quaternion, turn)
            mujoco.mj_forward(world.model, world.data)
        return targets

    def _vector(self, length: float) -> np.ndarray:
        vector = self.random.normal(size=3)
        return length * vector / np.linalg.norm(vector)


class Light(Act):
    """A lamp goes out, or another one is lit."""

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        if seconds == 0.0:
            darker = self.random.random() < 0.5
            world.model.light_diffuse[0] *= self.random.uniform(
                *((0.4, 0.6) if darker else (1.5, 2))
            )
        return targets


class Blocked(Act):
    """Something holds the arm where it is."""

    def at(self, world: World, seconds: float, targets: np.ndarray) -> np.ndarray:
        if seconds == 0.0:
            self._stays = np.delete(world.positions().reshape(-1, 8), 7, axis=1).ravel()
        return self._stays if seconds <= BLOCKED else targets
