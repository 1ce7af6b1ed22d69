# SPDX-License-Identifier: Apache-2.0
"""What is said about one task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..arm_constants import closure
from ..layout import Arrange, Layout

if TYPE_CHECKING:  # MuJoCo: the command line reads this table without it
    from ..world import World

Place = np.ndarray | tuple[float, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """All that is said about one task, but for its expert, which is in aims.AIMS."""

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
    basic: bool = False  # of the suite `basic`
    grasps: bool = False  # whether the hand is to be turned as the cube is
    length: int = 65  # actions of a demonstration, about
    lead: int = 80  # actions, at most, before an arm that is led astray is pulled away

    @property
    def names_cube(self) -> bool:
        return "{target}" in self.wordings[0]


def is_open(world: World) -> bool:
    """Whether the gripper holds nothing."""
    return closure(world.positions()[7]) < 0.3


def apart(a: Place, b: Place) -> float:
    """Distance seen from above, m."""
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
