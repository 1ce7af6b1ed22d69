# SPDX-License-Identifier: Apache-2.0
"""The five basic tasks, and the two that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..layout import (
    CUBE,
    Layout,
    cubes_and_bowl,
    cubes_and_circle,
    drawer,
    some_cubes,
    two_cubes,
)
from .task import Task, apart, is_open

if TYPE_CHECKING:  # MuJoCo, see Task
    from ..world import World


def _reached(world: World, layout: Layout) -> bool:
    tool, cube = world.tool(), world.position(layout.target)
    return apart(tool, cube) < 0.025 and 0.0 < tool[2] - cube[2] < 0.07


def _lifted(world: World, layout: Layout) -> bool:
    return world.position(layout.target)[2] > 0.10


def _pushed(world: World, layout: Layout) -> bool:
    cube = world.position(layout.target)
    return apart(cube, layout.place) < 0.04 and cube[2] < 0.04


def _in_bowl(world: World, layout: Layout) -> bool:
    cube = world.position(layout.target)
    return apart(cube, layout.place) < 0.05 and cube[2] < 0.06 and is_open(world)


def _stacked(world: World, layout: Layout) -> bool:
    cube, base = world.position(layout.target), world.position(layout.base)
    return apart(cube, base) < 0.025 and abs(cube[2] - base[2] - 2 * CUBE) < 0.01 and is_open(world)


_PICK = ("Move the gripper to the {target} cube.", "Close the gripper.")
RELEASE = "Open the gripper."

STANDARD: dict[str, Task] = {
    "reach": Task(
        "cubes",
        (
            "move the gripper to the {target} cube",
            "go to the {target} cube",
            "reach for the {target} cube",
            "bring the hand over the {target} cube",
            "approach the {target} cube with the gripper",
        ),
        some_cubes,
        _reached,
        steps=_PICK[:1],
        progress="reach",
        basic=True,
        grasps=True,
        length=20,
        lead=25,
    ),
    "lift": Task(
        "cubes",
        (
            "pick up the {target} cube",
            "lift the {target} cube",
            "grasp the {target} cube and raise it",
            "take the {target} cube off the table",
            "grab the {target} cube and lift it up",
        ),
        some_cubes,
        _lifted,
        steps=(*_PICK, "Lift the {target} cube."),
        basic=True,
        grasps=True,
        lead=50,
    ),
    "push": Task(
        "circle",
        (
            "push the {target} cube to the yellow circle",
            "slide the {target} cube onto the yellow circle",
            "move the {target} cube to the circle",
            "shove the {target} cube into the yellow circle",
            "push the {target} cube until it is on the circle",
        ),
        cubes_and_circle,
        _pushed,
        steps=(
            "Move the gripper behind the {target} cube.",
            "Push the {target} cube to the yellow circle.",
        ),
        progress="push",
        basic=True,
        lead=45,
    ),
    "bowl": Task(
        "bowl",
        (
            "put the {target} cube in the bowl",
            "place the {target} cube into the bowl",
            "drop the {target} cube in the yellow bowl",
            "pick up the {target} cube and put it in the bowl",
            "the {target} cube belongs in the bowl",
        ),
        cubes_and_bowl,
        _in_bowl,
        steps=(*_PICK, "Carry the {target} cube to the bowl.", RELEASE),
        basic=True,
        grasps=True,
    ),
    "drawer": Task(
        "drawer",
        (
            "open the drawer",
            "pull the drawer open",
            "slide the drawer out",
            "pull out the drawer",
            "open the cabinet drawer",
        ),
        drawer(shut=True),
        lambda world, layout: world.opening() > 0.10,
        steps=(
            "Move the gripper to the handle of the drawer.",
            "Close the gripper.",
            "Pull the drawer open.",
        ),
        basic=True,
        lead=45,
    ),
    "close_drawer": Task(
        "drawer",
        (
            "close the drawer",
            "push the drawer shut",
            "shut the drawer",
            "push the drawer in",
            "close the cabinet drawer",
        ),
        drawer(shut=False),
        lambda world, layout: world.opening() < 0.015,
    ),
    "stack": Task(
        "cubes",
        (
            "stack the {target} cube on the {base} cube",
            "put the {target} cube on the {base} cube",
            "place the {target} cube on top of the {base} cube",
            "set the {target} cube onto the {base} one",
            "build a tower with the {target} cube on the {base} cube",
        ),
        two_cubes,
        _stacked,
        grasps=True,
    ),
}
