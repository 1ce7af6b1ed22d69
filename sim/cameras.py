# SPDX-License-Identifier: Apache-2.0
"""The three cameras of a world, rendered headless."""

from __future__ import annotations

import math

import numpy as np

from .arm_constants import PREFIX
from .gl import make_renderer, mujoco
from .scene import VIEWS
from .world import World

_NAMES = {"wrist": PREFIX + "wrist", "exterior_1": "exterior_1", "exterior_2": "exterior_2"}


class Cameras:
    """Renders the views of one world.

    Use and close it in the thread that made it: an OpenGL context belongs to one.
    """

    def __init__(self, world: World, height: int, width: int) -> None:
        """height, width: of every image, pixels. Raises RuntimeError without OpenGL."""
        self._world = world
        self._renderer = make_renderer(world.model, height, width)
        for flag in (
            mujoco.mjtRndFlag.mjRND_SHADOW,
            mujoco.mjtRndFlag.mjRND_REFLECTION,
            mujoco.mjtRndFlag.mjRND_HAZE,
        ):
            self._renderer.scene.flags[flag] = 0
        self._show = mujoco.MjvOption()
        self._show.geomgroup[3] = 0  # collision meshes
        self._show.sitegroup[:] = 0

    def render(self, view: str) -> np.ndarray:
        """What a view shows now: uint8 [height, width, 3], RGB."""
        self._renderer.update_scene(self._world.data, camera=_NAMES[view], scene_option=self._show)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def intrinsics(world: World, view: str, height: int, width: int) -> np.ndarray:
    """The matrix K [3, 3] of a view's pinhole camera in pixels: MuJoCo's field of view is the vertical one."""
    if view not in VIEWS:
        raise ValueError(f"view: expected one of {', '.join(VIEWS)}, got {view!r}")
    focal = height / 2 / math.tan(math.radians(float(world.model.camera(_NAMES[view]).fovy[0])) / 2)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
