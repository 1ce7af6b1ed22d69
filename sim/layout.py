# SPDX-License-Identifier: Apache-2.0
"""What a seed decides about an episode: where things are and how the scene looks. No MuJoCo.

Functions that arrange a scene get the random generator and the number of cubes that the task does
not need, and return the fields of Layout beyond `start` and `look`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .arm_constants import ALONE, FACING, Mount
from .camera_table import CAMERAS, TWO_ARM_CAMERAS, Camera

Arrange = Callable[[np.random.Generator, int], dict[str, Any]]

# of scenes
KINDS = ("cubes", "bowl", "circle", "drawer", "small", "clutter", "ball", "turntable", "bar")
COLORS = {"red": (0.85, 0.10, 0.10), "green": (0.10, 0.65, 0.20), "blue": (0.10, 0.25, 0.85)}
CUBE, SMALL = 0.02, 0.015  # half the edge of a cube and of a small one, m
BAR = (0.20, 0.014, 0.012)  # halves of length, width and height of a bar that two arms lift, m
BALL = 0.022  # radius, m
TURNTABLE = (0.10, 0.012)  # radius and height, m
# Things of other shapes in the colors of the cubes, which no instruction names: name -> (shape of
# MuJoCo, halves of its size in m, color).
CLUTTER = {
    "red_can": ("cylinder", (0.018, 0.035), "red"),
    "red_plank": ("box", (0.012, 0.030, 0.012), "red"),
    "green_can": ("cylinder", (0.018, 0.035), "green"),
    "green_plank": ("box", (0.012, 0.030, 0.012), "green"),
    "blue_can": ("cylinder", (0.018, 0.035), "blue"),
    "blue_plank": ("box", (0.012, 0.030, 0.012), "blue"),
}


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
class Knock:
    """Blows that a cube gets when the hand has come near, each once: it slides until it rests."""

    cube: str  # its color
    # Where it slides to, as seen from where it is, m, one for each blow.
    ways: tuple[tuple[float, float], ...]
    near: float = 0.07  # distance of the hand at which it happens, m


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Lengths in m, angles in rad; the table's surface is z = 0."""

    cubes: dict[str, tuple[float, float, float]]  # color -> (x, y, yaw) of those on the table
    start: np.ndarray  # joint positions [7 for each arm]
    look: Look
    target: str = ""  # what the instruction names: color of a cube, or ball
    base: str = ""  # color of the cube to stack on, or to pick up next
    place: tuple[float, float] = (0.0, 0.0)  # (x, y) of what there is beside cubes
    drawer: float = 0.0  # how far it is open
    half: float = CUBE  # half the edge of the cubes
    # thing of CLUTTER -> (x, y, yaw)
    things: dict[str, tuple[float, float, float]] = dataclasses.field(default_factory=dict)
    spin: float = 0.0  # of the turntable, rad/s
    roll: tuple[float, float] = (0.0, 0.0)  # of the ball, m/s
    knock: Knock | None = None


class Table:
    """Draws places on the table that keep clear of those already taken."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._taken: list[tuple[np.ndarray, float]] = []

    def take(self, place: np.ndarray, radius: float = 0.0) -> np.ndarray:
        """Say that something of a radius (beyond a cube's) is there."""
        self._taken.append((np.asarray(place, float), radius))
        return place

    def draw(
        self, x: tuple[float, float], y: tuple[float, float], radius: float = 0.0
    ) -> np.ndarray:
        """A free place within x and y."""
        for _ in range(1000):
            place = np.array([self._random.uniform(*x), self._random.uniform(*y)])
            if self._is_free(place):
                return self.take(place, radius)
        raise RuntimeError("no free place on the table")

    def draw_around(self, middle: np.ndarray, distance: tuple[float, float]) -> np.ndarray:
        """A free place so far from the middle, or a little further where there is none."""
        for attempt in range(1000):
            angle = self._random.uniform(-math.pi, math.pi)
            way = self._random.uniform(*distance) * (1 + attempt / 100)
            place = middle + way * np.array([math.cos(angle), math.sin(angle)])
            if self._is_free(place):
                return self.take(place)
        raise RuntimeError("no free place on the table")

    def _is_free(self, place: np.ndarray) -> bool:
        return all(np.hypot(*(place - other)) > gap + 0.085 for other, gap in self._taken)

    def cubes(self, colors: list[str]) -> dict[str, tuple[float, float, float]]:
        """Places and turns of these cubes."""
        places = {color: self.draw((0.40, 0.60), (-0.20, 0.20)) for color in colors}
        turns = self._random.uniform(-math.pi / 4, math.pi / 4, len(colors))
        return {
            c: (float(p[0]), float(p[1]), float(turn))
            for (c, p), turn in zip(places.items(), turns, strict=True)
        }


def shuffled(random: np.random.Generator) -> list[str]:
    """All colors in a random order."""
    return [str(color) for color in random.permutation(list(COLORS))]


def some_cubes(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """The target cube and distractors."""
    colors = shuffled(random)
    return {"target": colors[0], "cubes": Table(random).cubes(colors[: 1 + distractors])}


def two_cubes(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """The target cube, the cube to stack it on, and at most one distractor."""
    colors = shuffled(random)
    cubes = Table(random).cubes(colors[: 2 + min(distractors, 1)])
    return {"target": colors[0], "base": colors[1], "cubes": cubes}


def cubes_and_bowl(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A bowl, the target cube and distractors beside it."""
    colors, table = shuffled(random), Table(random)
    bowl = table.draw((0.45, 0.58), (-0.20, 0.20), radius=0.06)
    return {
        "target": colors[0],
        "cubes": table.cubes(colors[: 1 + distractors]),
        "place": tuple(map(float, bowl)),
    }


def cubes_and_circle(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A circle, and the target cube square to the line on which it is to be pushed there.

    Distractors keep clear of that line.
    """
    colors, table = shuffled(random), Table(random)
    cube = np.array([random.uniform(0.40, 0.46), random.uniform(-0.12, 0.12)])
    turn, way = random.uniform(-0.5, 0.5), random.uniform(0.12, 0.17)
    along = np.array([math.cos(turn), math.sin(turn)])
    circle = cube + way * along
    for place, radius in (
        (cube, 0.06),
        ((cube + circle) / 2, 0.06),
        (circle, 0.07),
        (cube - 0.08 * along, 0.05),
    ):
        table.take(place, radius)
    cubes = {
        colors[0]: (float(cube[0]), float(cube[1]), float(turn)),
        **table.cubes(colors[1 : 1 + distractors]),
    }
    return {"target": colors[0], "cubes": cubes, "place": tuple(map(float, circle))}


def drawer(shut: bool) -> Arrange:
    """A cabinet whose drawer is (almost) shut or wide open."""

    def arrange(random: np.random.Generator, distractors: int) -> dict[str, Any]:
        place = (float(random.uniform(0.68, 0.74)), float(random.uniform(-0.10, 0.10)))
        opening = random.uniform(0.0, 0.01) if shut else random.uniform(0.11, 0.15)
        return {"cubes": {}, "place": place, "drawer": float(opening)}

    return arrange


def mounts_of(kind: str) -> tuple[Mount, ...]:
    """The arms in a kind of scene."""
    return FACING if kind == "bar" else ALONE


def cameras_of(kind: str) -> tuple[Camera, ...]:
    """The cameras of a kind of scene."""
    return TWO_ARM_CAMERAS if kind == "bar" else CAMERAS


def bar(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A bar between two arms, an end towards each."""
    x, y = random.uniform(0.46, 0.54), random.uniform(-0.10, 0.10)
    turn = random.uniform(-0.35, 0.35)
    return {"cubes": {}, "things": {"bar": (float(x), float(y), float(turn))}}


def random_look(random: np.random.Generator, views: tuple[Camera, ...] = CAMERAS) -> Look:
    """Cameras moved a little, light and colors of a scene."""

    def around(point: tuple[float, ...], spread: float) -> np.ndarray:
        return np.array(point) + random.uniform(-spread, spread, 3)

    return Look(
        cameras={
            camera.view: (
                around(stand.position, stand.position_jitter),
                around(stand.looks_at, stand.looks_at_jitter),
            )
            for camera in views
            if (stand := camera.stand)
        },
        light=float(random.uniform(0.7, 1.3)),
        light_direction=around((0.2, 0.4, -1.0), 0.3),
        table_tint=random.uniform(0.9, 1.1, 3),
        cube_tints={color: random.uniform(0.85, 1.15, 3) for color in COLORS},
    )
