# SPDX-License-Identifier: Apache-2.0
"""Questions about a scene with the answers that its facts give, and whether an answer is right.

A question is asked only where the answer is clear to somebody who sees the pictures: not within
some centimeters of a limit, nor while the gripper is just closing. Left, right, near and far are
the robot's.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator

import numpy as np

from ...model.interface import Box
from ...model.language.question_templates import TASKS as READING
from ...model.language.question_templates import parse_boxes
from ...sim.camera_table import EXTERIOR, VIEWS
from ...sim.layout import COLORS
from .scene_state import THINGS, UNCLEAR, Facts
from .task_steps import next_action, plan, wordings

ALL_VIEWS = tuple(range(len(VIEWS)))  # in the order in which the reasoner node shows them


@dataclasses.dataclass(frozen=True, slots=True)
class Lesson:
    """A question about some views (positions in camera_table.VIEWS, in the order shown) and its answer.

    kind: one of KINDS.
    """

    kind: str
    question: str
    answer: str
    views: tuple[int, ...] = ALL_VIEWS


def _cube(color: str) -> str:
    return f"{color} cube"


def _yes(truth: bool) -> str:
    return "Yes." if truth else "No."


# Each gives the subjects that can be asked about, as words for the question's places, with the
# answer.
Subjects = Iterator[tuple[tuple[str, ...], str]]


def _drawer(facts: Facts) -> Subjects:
    if facts.kind != "drawer":
        yield (), "There is no drawer."
    elif not 0.02 < facts.opening < 0.05:
        yield (), _yes(facts.opening > 0.03)


def _holding(facts: Facts) -> Subjects:
    if facts.held != UNCLEAR:
        yield (), _yes(bool(facts.held))


def _held(facts: Facts) -> Subjects:
    named = {"": "Nothing.", "drawer": "The handle of the drawer."}
    if facts.held != UNCLEAR:
        yield (), named.get(facts.held) or f"The {_cube(facts.held)}."


def _gripper(facts: Facts) -> Subjects:
    if not 0.15 < facts.closed < 0.4:
        yield (), "Open." if facts.closed < 0.3 else "Closed."


def _cubes(facts: Facts) -> Subjects:
    yield (), ", ".join(color for color in COLORS if color in facts.cubes) or "None."


def _count(facts: Facts) -> Subjects:
    yield (), str(len(facts.cubes))


def _there(facts: Facts) -> Subjects:
    for color in COLORS:
        yield (_cube(color),), _yes(color in facts.cubes)
    for kind, thing in THINGS.items():
        yield (thing,), _yes(facts.kind == kind)


def _where(facts: Facts) -> Subjects:
    for color in COLORS:
        if answer := _place(facts, color):
            yield (_cube(color),), answer


def _place(facts: Facts, color: str) -> str:
    if color not in facts.cubes:
        return "There is none."
    if facts.held in (color, UNCLEAR):
        return "In the gripper." if facts.held == color else ""
    x, y, z = facts.cubes[color]
    away = float(np.hypot(x - facts.place[0], y - facts.place[1]))
    if facts.kind == "bowl" and away < 0.09:
        return "In the bowl." if away < 0.05 and z < 0.06 else ""
    if facts.kind == "circle" and away < 0.08:
        return "On the yellow circle." if away < 0.045 and z < 0.03 else ""
    return "On the table." if z < 0.03 else ""


def _resting(facts: Facts) -> dict[str, np.ndarray]:
    return {
        color: place for color, place in facts.cubes.items() if place[2] < 0.05 and facts.held == ""
    }


def _side(facts: Facts) -> Subjects:
    for (one, a), (other, b) in itertools.permutations(_resting(facts).items(), 2):
        if abs(a[1] - b[1]) > 0.03:
            yield (_cube(one), _cube(other)), "Left." if a[1] > b[1] else "Right."


def _half(facts: Facts) -> Subjects:
    for color, place in _resting(facts).items():
        if abs(place[1]) > 0.03:
            yield (_cube(color),), "Left." if place[1] > 0 else "Right."


def _nearer(facts: Facts) -> Subjects:
    for (one, a), (other, b) in itertools.permutations(_resting(facts).items(), 2):
        if abs(a[0] - b[0]) > 0.03:
            yield (_cube(one), _cube(other)), f"The {_cube(one if a[0] < b[0] else other)}."


def _nearest(facts: Facts) -> Subjects:
    ways = sorted(
        (float(np.linalg.norm(place - facts.tool)), color) for color, place in facts.cubes.items()
    )
    if ways and (len(ways) == 1 or ways[1][0] - ways[0][0] > 0.03):
        yield (), f"The {_cube(ways[0][1])}."


def _done(facts: Facts) -> Subjects:
    for goal, truth in facts.done.items():
        if truth is not None:
            for words in wordings(goal):
                yield (words,), _yes(truth)


def _next(facts: Facts) -> Subjects:
    for goal in facts.done:
        if answer := next_action(facts, goal):
            for words in wordings(goal):
                yield (words,), answer


def _plan(facts: Facts) -> Subjects:
    for goal in facts.done:
        for words in wordings(goal):
            yield (
                (words,),
                "\n".join(f"{number}. {step}" for number, step in enumerate(plan(goal), 1)),
            )


def _describe(facts: Facts) -> Subjects:
    gripper, held = next(_gripper(facts), None), next(_held(facts), None)
    drawer = next(_drawer(facts), None)
    if not gripper or not held or not drawer:
        return
    things = [f"a {_cube(color)}" for color in COLORS if color in facts.cubes]
    things += [f"a {THINGS[facts.kind]}"] if facts.kind in THINGS else []
    listed = " and ".join([", ".join(things[:-1]), things[-1]] if things[:-1] else things)
    state = (
        f" The drawer is {'open' if drawer[1] == 'Yes.' else 'closed'}."
        if facts.kind == "drawer"
        else ""
    )
    what = held[1][0].lower() + held[1][1:]
    yield (
        (),
        f"A robot arm over a table with {listed}.{state} The gripper is {gripper[1][:-1].lower()}, with {what}",
    )


_SUBJECTS: dict[str, tuple[Callable[[Facts], Subjects], tuple[str, ...]]] = {
    "drawer": (
        _drawer,
        ("Is the drawer open?", "Has the drawer been opened?", "Is the drawer pulled out?"),
    ),
    "holding": (_holding, ("Is the gripper holding something?", "Does the robot hold anything?")),
    "held": (
        _held,
        ("What is the gripper holding?", "What does the robot hold?", "What is in the gripper?"),
    ),
    "gripper": (_gripper, ("Is the gripper open or closed?", "Are the fingers open or closed?")),
    "cubes": (
        _cubes,
        ("Which cubes are there?", "Name the cubes.", "What colours do the cubes have?"),
    ),
    "count": (_count, ("How many cubes are there?", "Count the cubes.")),
    "there": (_there, ("Is there a {0}?", "Do you see a {0}?")),
    "where": (_where, ("Where is the {0}?", "Where do you see the {0}?")),
    "side": (
        _side,
        (
            "Seen from the robot, is the {0} left or right of the {1}?",
            "Left or right of the {1}: where is the {0}?",
        ),
    ),
    "half": (
        _half,
        ("On which side of the robot is the {0}?", "Is the {0} on the left or on the right?"),
    ),
    "nearer": (
        _nearer,
        (
            "Which is nearer to the robot, the {0} or the {1}?",
            "Nearer to the robot: the {0} or the {1}?",
        ),
    ),
    "nearest": (
        _nearest,
        ("Which cube is nearest to the gripper?", "Which cube is closest to the hand?"),
    ),
    "done": (_done, ('The task is: "{0}". Is it done?', 'The task is: "{0}". Has it been solved?')),
    "next": (_next, (READING["next_action"].prompt.replace("{subject}", "{0}"),)),
    "plan": (_plan, (READING["plan"].prompt.replace("{subject}", "{0}"),)),
    "describe": (_describe, ("Describe the scene.", READING["describe"].prompt)),
}
KINDS = (*_SUBJECTS, "boxes")
# short answers, compared word by word
STATE = tuple(kind for kind in _SUBJECTS if kind not in ("plan", "describe"))


def lessons(facts: Facts, random: np.random.Generator, each: int = 2) -> list[Lesson]:
    """Questions of every kind that can be asked here, up to `each` of one kind, in one of their wordings.

    Those of one kind have different answers if they can.
    """
    found = []
    for kind, (subjects, texts) in _SUBJECTS.items():
        possible = list(subjects(facts))
        for number in _choose([answer for _, answer in possible], random, each):
            words, answer = possible[number]
            text = str(random.choice(np.array(texts)))
            # A plan is long and so is its question: one picture is enough for it.
            views = (
                (EXTERIOR[int(random.integers(len(EXTERIOR)))],) if kind == "plan" else ALL_VIEWS
            )
            found.append(Lesson(kind, text.format(*words), answer, views))
    return found + _box_lessons(facts, random)


def _choose(answers: list[str], random: np.random.Generator, count: int) -> list[int]:
    order = [int(number) for number in random.permutation(len(answers))]
    fresh = [
        number
        for place, number in enumerate(order)
        if answers[number] not in [answers[n] for n in order[:place]]
    ]
    return (fresh + [number for number in order if number not in fresh])[:count]


def _box_lessons(facts: Facts, random: np.random.Generator) -> list[Lesson]:
    """One thing that can be seen in each view, and a cube that is not there in one of them."""
    asked = [
        (number, name, [box])
        for number, view in enumerate(VIEWS)
        for name, box in sorted(facts.boxes.get(view, {}).items())
    ]
    asked = [asked[int(number)] for number in random.permutation(len(asked))[:3]]
    missing = [_cube(color) for color in COLORS if color not in facts.cubes]
    if missing and random.random() < 0.3:
        asked.append((int(random.integers(len(VIEWS))), str(random.choice(np.array(missing))), []))
    question = READING["boxes"].question
    return [
        Lesson("boxes", question(name), write_boxes(found), (view,)) for view, name, found in asked
    ]


def write_boxes(found: list[Box]) -> str:
    """Boxes as the reasoner writes them: corners in 0..1000."""
    return json.dumps(
        [
            {
                "bbox_2d": [round(1000 * x) for x in (box.x_min, box.y_min, box.x_max, box.y_max)],
                "label": box.label,
            }
            for box in found
        ]
    )


def is_right(lesson: Lesson, said: str) -> bool:
    """Word for word, capitals and spaces aside.

    boxes: each overlaps the true one of its label by half (their IoU).
    """
    if lesson.kind != "boxes":
        return " ".join(said.lower().split()) == " ".join(lesson.answer.lower().split())
    true, given = parse_boxes(lesson.answer), parse_boxes(said)
    if not true:
        return said.strip() == lesson.answer
    return len(given) == len(true) and all(
        any(one.label == other.label and overlap(one, other) >= 0.5 for other in given)
        for one in true
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one.x_max, other.x_max) - max(one.x_min, other.x_min)
    down = min(one.y_max, other.y_max) - max(one.y_min, other.y_min)
    both = max(across, 0.0) * max(down, 0.0)
    areas = [(box.x_max - box.x_min) * (box.y_max - box.y_min) for box in (one, other)]
    return both / max(sum(areas) - both, 1e-12)
