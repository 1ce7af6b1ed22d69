# SPDX-License-Identifier: Apache-2.0
"""The steps towards a goal, and which one is next, told from where things are."""

from __future__ import annotations

import numpy as np

from ...sim.tasks import RELEASE, TASKS
from .scene_state import UNCLEAR, Facts, Goal

DONE = "Nothing, the task is done."


def wordings(goal: Goal) -> list[str]:
    """The ways to ask for a goal that training may see."""
    return [text.format(target=goal[1]) for text in TASKS[goal[0]].wordings[:-1]]


def plan(goal: Goal) -> list[str]:
    """All steps, from the beginning."""
    return [step.format(target=goal[1]) for step in TASKS[goal[0]].steps]


def next_action(facts: Facts, goal: Goal) -> str:
    """The step that comes next, "" if that is not clear."""
    done = facts.done[goal]
    if done is not False or facts.held == UNCLEAR:
        return DONE if done else ""
    if facts.held not in ("", goal[1] or "drawer"):
        return RELEASE
    task, thing = goal[0], facts.handle if facts.handle is not None else facts.cubes[goal[1]]
    carry = _carry if facts.held else _pick
    due = {"reach": _reach, "push": _push, "carry": carry}[TASKS[task].progress]
    step = due(facts, thing, task)
    return plan(goal)[step] if step is not None else ""


# Index of the step that is due, or None if that is not clear.


def _reach(facts: Facts, cube: np.ndarray, _task: str) -> int | None:
    far = float(np.hypot(*(facts.tool - cube)[:2])) > 0.05 or abs(facts.tool[2] - cube[2]) > 0.12
    return 0 if far and not facts.held else None


def _pick(facts: Facts, thing: np.ndarray, _task: str) -> int | None:
    apart, above = float(np.hypot(*(facts.tool - thing)[:2])), float(abs(facts.tool[2] - thing[2]))
    if apart > 0.05 or above > 0.06:
        return 0
    return 1 if apart < 0.015 and above < 0.015 and facts.closed < 0.1 else None


def _carry(facts: Facts, thing: np.ndarray, task: str) -> int | None:
    away = float(np.hypot(thing[0] - facts.place[0], thing[1] - facts.place[1]))
    if RELEASE not in TASKS[task].steps or away > 0.06:
        return 2
    return 3 if away < 0.03 else None


def _push(facts: Facts, cube: np.ndarray, _task: str) -> int | None:
    along = np.array(facts.place) - cube[:2]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    gap = cube[:2] - facts.tool[:2]
    ahead, aside, height = (
        float(gap @ along),
        float(abs(gap[0] * along[1] - gap[1] * along[0])),
        facts.tool[2],
    )
    if not 0.0 < ahead < 0.13 or aside > 0.05 or height > 0.12:
        return 0
    return 1 if ahead < 0.095 and aside < 0.02 and height < 0.05 else None
