# SPDX-License-Identifier: Apache-2.0
"""The cameras of the simulation: each is one row of this table, from which all else derives."""

from __future__ import annotations

import dataclasses

from .arm_constants import PREFIX


@dataclasses.dataclass(frozen=True, slots=True)
class Stand:
    """Where a camera stands in the scene, m, and how far a layout moves it at random."""

    position: tuple[float, float, float]
    looks_at: tuple[float, float, float] = (0.48, 0.0, 0.11)
    position_jitter: float = 0.03  # uniform, along each axis
    looks_at_jitter: float = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Camera:
    """One camera: a camera of the arm's own MJCF model if it has no stand."""

    view: str  # its name in topics, observations and embodiments
    stand: Stand | None = None
    fovy: float = 38.0  # vertical field of view with a stand, degrees
    prefix: str = PREFIX  # of the arm that it is on, without a stand

    @property
    def mujoco_name(self) -> str:
        return self.view if self.stand else self.prefix + WRIST


WRIST = "wrist"  # the camera of the arm's model
CAMERAS = (
    Camera(WRIST),
    Camera("exterior_1", Stand((0.42, 0.75, 0.60))),
    Camera("exterior_2", Stand((0.42, -0.75, 0.60))),
)
VIEWS = tuple(camera.view for camera in CAMERAS)
# of two arms that face each other; the front is the side from which both are seen
TWO_ARM_CAMERAS = (
    Camera("front", Stand((0.5, -0.95, 0.62), (0.5, 0.0, 0.10))),
    Camera("left_wrist", prefix="left_"),
    Camera("right_wrist", prefix="right_"),
)
# positions in VIEWS of the cameras that see the whole scene
EXTERIOR = tuple(number for number, camera in enumerate(CAMERAS) if camera.stand)


def find_camera(view: str) -> Camera:
    """The camera of a view. Raises ValueError with the list of views."""
    for camera in (*CAMERAS, *TWO_ARM_CAMERAS):
        if camera.view == view:
            return camera
    raise ValueError(f"view: expected one of {', '.join(VIEWS)}, got {view!r}")
