# SPDX-License-Identifier: Apache-2.0
"""The tasks of the simulation: their wordings, scene, random layout, steps and success.

`standard` has the basic ones and two that go with them, `hard` those that are harder,
`two_arms` what two arms do together, which no suite has.
"""

from __future__ import annotations

import zlib

import numpy as np

from ...model.embodiment.table import nearest
from ..arm_constants import HOME
from ..layout import COLORS, Layout, cameras_of, mounts_of, random_look
from .hard import HARD
from .standard import RELEASE, STANDARD
from .task import Place, Task, apart
from .two_arms import TWO_ARMS

__all__ = [
    "BASIC",
    "RELEASE",
    "SUITES",
    "TASKS",
    "TWO_ARMS",
    "Place",
    "Task",
    "apart",
    "arrange",
    "find",
    "instruction",
    "parse_names",
    "robot_of",
]

TASKS: dict[str, Task] = {**STANDARD, **HARD}
BASIC = tuple(name for name, task in TASKS.items() if task.basic)
# Names that stand for several tasks.
SUITES: dict[str, tuple[str, ...]] = {
    "basic": BASIC,
    "hard": tuple(name for name in TASKS if name not in BASIC),
    "all": tuple(TASKS),
}


def parse_names(text: str) -> list[str]:
    """Names with commas, or a name of SUITES, as a list. Raises ValueError for an unknown one."""
    names = list(SUITES.get(text) or text.split(","))
    if unknown := [name for name in names if name not in (*TASKS, *TWO_ARMS)]:
        close = nearest(unknown[0], (*SUITES, *TASKS, *TWO_ARMS)) or ":"
        raise ValueError(
            f"unknown task {', '.join(unknown)}{close} expected {', '.join(SUITES)} or some of "
            f"{', '.join((*TASKS, *TWO_ARMS))}"
        )
    return names


def find(name: str) -> Task:
    """The task of that name. Raises ValueError with the list of names."""
    try:
        return TASKS.get(name) or TWO_ARMS[name]
    except KeyError:
        known = (*TASKS, *TWO_ARMS)
        raise ValueError(
            f"task: expected one of {', '.join(known)}, got {name!r}{nearest(name, known)}"
        ) from None


def robot_of(name: str) -> str:
    """Name of the robot file, and of the embodiment, of the arms that a task is for."""
    return "two_arms_sim" if name in TWO_ARMS else "droid_sim"


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
    look, homes = (
        random_look(random, cameras_of(task.kind)),
        np.tile(HOME, len(mounts_of(task.kind))),
    )
    start = homes + random.uniform(-0.08, 0.08, len(homes))
    return Layout(
        start=start, look=look, **task.arrange(random, int(random.integers(distractors + 1)))
    )


def instruction(name: str, layout: Layout, wording: int = 0) -> str:
    """The instruction for a layout of the task, in one of its wordings."""
    wordings = find(name).wordings
    if not 0 <= wording < len(wordings):
        raise ValueError(f"wording: expected 0 to {len(wordings) - 1}, got {wording}")
    return wordings[wording].format(target=layout.target, base=layout.base)
