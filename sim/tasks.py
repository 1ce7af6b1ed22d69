# SPDX-License-Identifier: Apache-2.0
"""The tasks of the simulation: their wordings, scene, random layout, steps and success."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .arm_constants import HOME, closure
from .layout import (
    COLORS,
    CUBE,
    Arrange,
    Layout,
    cubes_and_bowl,
    cubes_and_circle,
    drawer,
    random_look,
    some_cubes,
    two_cubes,
)

if TYPE_CHECKING:  # MuJoCo: the command line reads this table without it
    from .world import World

Place = np.ndarray | tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """All that is said about one task, but for its expert, which is in expert.AIMS."""

    kind: str  # of scene, one of layout.KINDS
    # ways to ask for it; {target} and {base} are colors; the last one is kept out of training
    wordings: tuple[str, ...]
    arrange: Arrange  # (random, distractors) -> the fields of Layout beyond `start` and `look`
    solved: Callable[[World, Layout], bool]  # at this moment
    # what has to be done, as the reasoner says it; none: it is not asked about this task
    steps: tuple[str, ...] = ()
    # how the step that is due follows from where things are: reach, push or carry, see
    # training.vqa.task_steps
    progress: str = "carry"
    trained: bool = False  # whether the embedded checkpoint was trained for it
    grasps: bool = False  # whether the hand is to be turned as the cube is
    length: int = 65  # actions of a demonstration, about
    lead: int = 80  # actions, at most, before an arm that is led astray is pulled away

    @property
    def names_cube(self) -> bool:
        return "{target}" in self.wordings[0]


def _is_open(world: World) -> bool:
    return closure(world.positions()[7]) < 0.3


def apart(a: Place, b: Place) -> float:
    """Distance seen from above, m."""
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


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
    return apart(cube, layout.place) < 0.05 and cube[2] < 0.06 and _is_open(world)


def _stacked(world: World, layout: Layout) -> bool:
    cube, base = world.position(layout.target), world.position(layout.base)
    return (
        apart(cube, base) < 0.025 and abs(cube[2] - base[2] - 2 * CUBE) < 0.01 and _is_open(world)
    )


_PICK = ("Move the gripper to the {target} cube.", "Close the gripper.")
RELEASE = "Open the gripper."

TASKS: dict[str, Task] = {
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
        trained=True,
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
        trained=True,
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
        trained=True,
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
        trained=True,
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
        trained=True,
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

TRAINED = tuple(name for name, task in TASKS.items() if task.trained)


def parse_names(text: str) -> list[str]:
    """Names with commas, "trained" or "all" as a list. Raises ValueError for an unknown name."""
    names = {"all": list(TASKS), "trained": list(TRAINED)}.get(text) or text.split(",")
    if unknown := [name for name in names if name not in TASKS]:
        raise ValueError(
            f"unknown task {', '.join(unknown)}: expected all or some of {', '.join(TASKS)}"
        )
    return names


def find(name: str) -> Task:
    """The task of that name. Raises ValueError with the list of names."""
    try:
        return TASKS[name]
    except KeyError:
        raise ValueError(f"task: expected one of {', '.join(TASKS)}, got {name!r}") from None


def arrange(name: str, seed: int, distractors: int = 2) -> Layout:
    """The layout of a task and a seed (>= 0), with up to `distractors` (0 to 2) further cubes.

    Raises ValueError for an unknown task or numbers outside their range.
    """
    task = find(name)
    if seed < 0:
        raise ValueError(f"seed: expected a number >= 0, got {seed}")
    if not 0 <= distractors < len(COLORS):
        raise ValueError(f"distractors: expected 0 to {len(COLORS) - 1}, got {distractors}")
    random = np.random.default_rng([zlib.crc32(name.encode()), seed])
    look, start = random_look(random), HOME + random.uniform(-0.08, 0.08, 7)
    return Layout(
        start=start, look=look, **task.arrange(random, int(random.integers(distractors + 1)))
    )


def instruction(name: str, layout: Layout, wording: int = 0) -> str:
    """The instruction for a layout of the task, in one of its wordings."""
    wordings = find(name).wordings
    if not 0 <= wording < len(wordings):
        raise ValueError(f"wording: expected 0 to {len(wordings) - 1}, got {wording}")
    return wordings[wording].format(target=layout.target, base=layout.base)
