# SPDX-License-Identifier: Apache-2.0
"""Images of a world from the cameras of camera_table, rendered headless."""

from __future__ import annotations

import math

import numpy as np

from .camera_table import find_camera
from .gl import make_renderer, mujoco
from .world import World


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
        camera = find_camera(view).mujoco_name
        self._renderer.update_scene(self._world.data, camera=camera, scene_option=self._show)
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def intrinsics(world: World, view: str, height: int, width: int) -> np.ndarray:
    """The matrix K [3, 3] of a view's pinhole camera, pixels.

    Raises ValueError for an unknown view.
    """
    camera = world.model.camera(find_camera(view).mujoco_name)
    focal = height / 2 / math.tan(math.radians(float(camera.fovy[0])) / 2)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
