# SPDX-License-Identifier: Apache-2.0
"""Where things are in the scenes of the hard tasks; functions as those of `layout`."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..layout import CLUTTER, SMALL, Knock, Table, shuffled, some_cubes

# Where cubes stand in training is 0.40 to 0.60 and -0.20 to 0.20; the edge is what lies around
# that and is still within the arm's reach and the cameras' view.
_INNER_X, _INNER_Y = (0.40, 0.60), 0.20
_OUTER_X, _OUTER_Y = (0.35, 0.67), 0.26
_BEYOND = 0.02  # so far outside of where training has been, at least
# The policy sees one picture at a time, so speeds that it could not know are the same in all
# seeds: to predict a motion is to have learned it.
SPIN = 0.6  # of the turntable, rad/s
ROLL = 0.10  # of the ball, m/s


def small_cubes(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """As `some_cubes`, but all cubes are small."""
    return {**some_cubes(random, distractors), "half": SMALL}


def cube_at_the_edge(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """The target where no cube stands in training, distractors where they always do."""
    colors, table = shuffled(random), Table(random)
    while True:
        place = np.array([random.uniform(*_OUTER_X), random.uniform(-_OUTER_Y, _OUTER_Y)])
        out = max(_INNER_X[0] - place[0], place[0] - _INNER_X[1], abs(place[1]) - _INNER_Y)
        if out > _BEYOND:
            break
    table.take(place)
    turn = float(random.uniform(-math.pi / 4, math.pi / 4))
    cubes = {colors[0]: (float(place[0]), float(place[1]), turn)}
    return {
        "target": colors[0],
        "cubes": cubes | table.cubes(colors[1 : 1 + distractors]),
    }


def cluttered_cubes(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """The target with things of other shapes close around it, and distractors."""
    colors, table = shuffled(random), Table(random)
    place = table.draw((0.44, 0.56), (-0.14, 0.14))
    things = {}
    for name in CLUTTER:
        near = table.draw_around(place, (0.09, 0.15))
        things[name] = (float(near[0]), float(near[1]), float(random.uniform(-math.pi, math.pi)))
    turn = float(random.uniform(-math.pi / 4, math.pi / 4))
    cubes = {colors[0]: (float(place[0]), float(place[1]), turn)}
    others = colors[1 : 1 + distractors]
    spread = {c: table.draw((0.36, 0.64), (-0.24, 0.24)) for c in others}
    cubes |= {c: (float(p[0]), float(p[1]), turn) for c, p in spread.items()}
    return {"target": colors[0], "cubes": cubes, "things": things}


def knocked_cube(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A target that is knocked away twice when the hand is near, along ways that are free."""
    colors, table = shuffled(random), Table(random)
    stops = [np.array([random.uniform(*_INNER_X), random.uniform(-_INNER_Y, _INNER_Y)])]
    while len(stops) < 3:
        stop = np.array([random.uniform(*_INNER_X), random.uniform(-_INNER_Y, _INNER_Y)])
        if 0.10 < np.hypot(*(stop - stops[-1])) < 0.14:
            stops.append(stop)
    ways = [later - earlier for earlier, later in itertools.pairwise(stops)]
    for stop, way in zip(stops, [*ways, np.zeros(2)], strict=True):
        table.take(stop, 0.02)
        table.take(stop + way / 2, 0.02)
    turn = float(random.uniform(-math.pi / 4, math.pi / 4))
    cubes = {colors[0]: (float(stops[0][0]), float(stops[0][1]), turn)}
    return {
        "target": colors[0],
        "cubes": cubes | table.cubes(colors[1 : 1 + distractors]),
        "knock": Knock(colors[0], tuple((float(way[0]), float(way[1])) for way in ways)),
    }


def cube_on_turntable(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A turntable with the target on it off its middle, distractors beside it."""
    colors, table = shuffled(random), Table(random)
    middle = table.draw((0.46, 0.54), (-0.10, 0.10), radius=0.08)
    angle, way = random.uniform(-math.pi, math.pi), random.uniform(0.05, 0.07)
    place = middle + way * np.array([math.cos(angle), math.sin(angle)])
    turn = float(random.uniform(-math.pi / 4, math.pi / 4))
    cubes = {colors[0]: (float(place[0]), float(place[1]), turn)}
    for color in colors[1 : 1 + distractors]:
        other = table.draw((0.38, 0.62), (-0.24, 0.24))
        cubes[color] = (float(other[0]), float(other[1]), turn)
    return {
        "target": colors[0],
        "cubes": cubes,
        "place": tuple(map(float, middle)),
        "spin": SPIN,
    }


def rolling_ball(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A ball that comes from the left and rolls across the table; no cubes."""
    heading = random.uniform(-0.15, 0.15)
    start = random.uniform(0.44, 0.54), random.uniform(0.26, 0.32)
    velocity = ROLL * math.sin(heading), -ROLL * math.cos(heading)
    return {
        "target": "ball",
        "cubes": {},
        "place": tuple(map(float, start)),
        "roll": tuple(map(float, velocity)),
    }


def two_cubes_and_bowl(random: np.random.Generator, distractors: int) -> dict[str, Any]:
    """A bowl, the cube for it, the cube to pick up next, and at most one distractor."""
    colors, table = shuffled(random), Table(random)
    bowl = table.draw((0.45, 0.58), (-0.20, 0.20), radius=0.06)
    return {
        "target": colors[0],
        "base": colors[1],
        "cubes": table.cubes(colors[: 2 + min(distractors, 1)]),
        "place": tuple(map(float, bowl)),
    }
