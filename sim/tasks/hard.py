# SPDX-License-Identifier: Apache-2.0
"""Harder tasks, to tell policies apart that solve all standard ones.

A task with the words of "lift" is one that a policy trained for "lift" has been asked before: only
positions, sizes, surroundings or what happens meanwhile are other ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..layout import Layout
from .hard_layouts import (
    cluttered_cubes,
    cube_at_the_edge,
    cube_on_turntable,
    knocked_cube,
    rolling_ball,
    small_cubes,
    two_cubes_and_bowl,
)
from .standard import STANDARD
from .task import Task

if TYPE_CHECKING:  # MuJoCo, see Task
    from ..world import World

_HAND = 0.04  # m between a thing that is held and the point between the finger tips, at most


def _in_hand(world: World, thing: str) -> bool:
    """Whether a thing is held well above the table: not thrown, and not on top of something."""
    place = world.position(thing)
    return bool(place[2] > 0.10 and np.linalg.norm(world.tool() - place) < _HAND)


def _picked_up(world: World, layout: Layout) -> bool:
    return _in_hand(world, layout.target)


def _one_in_bowl_other_in_hand(world: World, layout: Layout) -> bool:
    # one hand: the order follows from both
    cube = world.position(layout.target)
    away = float(np.hypot(*(cube[:2] - np.array(layout.place))))
    return away < 0.05 and cube[2] < 0.06 and _in_hand(world, layout.base)


_LIFT = STANDARD["lift"].wordings

HARD: dict[str, Task] = {
    "lift_small": Task("small", _LIFT, small_cubes, _picked_up, grasps=True, lead=50),
    "lift_edge": Task("cubes", _LIFT, cube_at_the_edge, _picked_up, grasps=True, lead=50),
    "lift_clutter": Task("clutter", _LIFT, cluttered_cubes, _picked_up, grasps=True, lead=50),
    "lift_knocked": Task(
        "cubes", _LIFT, knocked_cube, _picked_up, grasps=True, length=100, lead=50
    ),
    "lift_turning": Task(
        "turntable",
        (
            "pick up the {target} cube from the turntable",
            "lift the {target} cube off the turntable",
            "grasp the {target} cube while it turns and raise it",
            "take the {target} cube off the turning disc",
            "grab the {target} cube that goes round",
        ),
        cube_on_turntable,
        _picked_up,
        grasps=True,
        lead=50,
    ),
    "catch": Task(
        "ball",
        (
            "catch the rolling ball",
            "pick up the ball while it rolls",
            "grasp the rolling ball and lift it",
            "grab the ball before it rolls away",
            "stop the ball with the gripper and raise it",
        ),
        rolling_ball,
        _picked_up,
        lead=20,
    ),
    "bowl_then_lift": Task(
        "bowl",
        (
            "put the {target} cube in the bowl, then pick up the {base} cube",
            "first the {target} cube goes into the bowl, then lift the {base} cube",
            "place the {target} cube into the bowl and then take the {base} cube",
            "drop the {target} cube in the bowl, afterwards grasp the {base} cube and raise it",
            "after you put the {target} cube in the bowl, hold up the {base} cube",
        ),
        two_cubes_and_bowl,
        _one_in_bowl_other_in_hand,
        grasps=True,
        length=130,
        lead=120,
    ),
}
