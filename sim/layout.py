# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about an episode: where things are and how the scene looks. No MuJoCo."""

from __future__ import annotations

import dataclasses

import numpy as np

KINDS = ("cubes", "bowl", "circle", "drawer")  # of scenes
COLORS = {"red": (0.85, 0.10, 0.10), "green": (0.10, 0.65, 0.20), "blue": (0.10, 0.25, 0.85)}
CUBE = 0.02  # half the edge, m


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """How the scene looks; light and tints are factors."""

    # view of a camera with a stand -> (position, point it looks at), m
    cameras: dict[str, tuple[np.ndarray, np.ndarray]]
    light: float
    light_direction: np.ndarray
    table_tint: np.ndarray
    cube_tints: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Lengths in m, angles in rad; the table's surface is z = 0."""

    cubes: dict[str, tuple[float, float, float]]  # color -> (x, y, yaw) of those on the table
    start: np.ndarray  # joint positions [7]
    look: Look
    target: str = ""  # color of the cube that the instruction names
    base: str = ""  # color of the cube to stack on
    place: tuple[float, float] = (0.0, 0.0)  # (x, y) of the bowl, the circle or the cabinet
    drawer: float = 0.0  # how far it is open
