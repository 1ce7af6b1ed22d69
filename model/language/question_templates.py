# SPDX-License-Identifier: Apache-2.0
"""Questions for the reasoner and parsers for its answers, one of each per task.

Answers are free text, so parsers take what is well formed and leave out the rest; they never raise
on a bad answer. The reasoner counts coordinates in 0..1000 per axis from the top left corner;
everything here is 0..1.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from ..interface import Box

THINK = (
    "Answer the question using the following format:\n\n<think>\nYour reasoning.\n</think>\n\n"
    "Write your final answer immediately after the </think> tag."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A labeled point in one image; x and y in 0..1 from the top left corner."""

    label: str
    x: float
    y: float


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """A kind of question, with `{subject}` where the caller's words go, and its parser."""

    prompt: str
    parse: Callable[[str], Any]

    def question(self, subject: str = "", think: bool = False) -> str:
        """The question to ask.

        Raises ValueError if the task needs a subject and got none, or the other way round.
        """
        if ("{subject}" in self.prompt) != bool(subject.strip()):
            wanted = "a subject" if "{subject}" in self.prompt else "no subject"
            raise ValueError(f"task {self.prompt!r}: expected {wanted}, got {subject!r}")
        question = self.prompt.replace("{subject}", subject.strip())
        return f"{question}\n{THINK}" if think else question


def split_thought(text: str) -> tuple[str, str]:
    """(thought, answer) of a reply; an unfinished `<think>` block is all thought.

    `<answer>` tags are taken off.
    """
    before, end, after = text.partition("</think>")
    if end:
        thought, answer = before.replace("<think>", "", 1), after
    elif text.lstrip().startswith("<think>"):
        thought, answer = text.lstrip().removeprefix("<think>"), ""
    else:
        thought, answer = "", text
    return thought.strip(), re.sub(r"</?answer>", "", answer).strip()


def parse_text(text: str) -> str:
    """The answer itself."""
    return text.strip()


def parse_steps(text: str) -> tuple[str, ...]:
    """The lines of a numbered list ("1. do this"), without their numbers."""
    return tuple(
        step.strip() for step in re.findall(r"^\s*\d+\s*[.):]\s*(\S.*)$", text, flags=re.MULTILINE)
    )


def parse_plausible(text: str) -> bool | None:
    """True for choice A or "possible", False for B or "impossible", None for neither."""
    found = re.match(
        r"\W*(A|B|impossible|possible|implausible|plausible)\b", text.strip(), flags=re.IGNORECASE
    )
    return None if found is None else found[1].lower() in ("a", "possible", "plausible")


def parse_boxes(text: str) -> tuple[Box, ...]:
    """Boxes of the `{"bbox_2d": [x1, y1, x2, y2], "label": ...}` objects, corners put in order."""
    boxes = []
    for entry in _objects(text):
        if (numbers := _fractions(entry.get("bbox_2d"), 4)) is not None:
            x1, y1, x2, y2 = numbers
            boxes.append(
                Box(str(entry.get("label", "")), min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            )
    return tuple(boxes)


def parse_points(text: str) -> tuple[Point, ...]:
    """Points of the `{"point_2d": [x, y], "label": ...}` objects in `text`, in the order given."""
    found = ((entry, _fractions(entry.get("point_2d"), 2)) for entry in _objects(text))
    return tuple(
        Point(str(entry.get("label", "")), *numbers)
        for entry, numbers in found
        if numbers is not None
    )


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The complete JSON objects in `text`: in a list, fenced, alone, or before it breaks off."""
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield value
        start = text.find("{", end)


def _fractions(values: Any, count: int) -> tuple[float, ...] | None:
    """0..1000 to 0..1, clipped; None unless `values` is a list of `count` numbers."""
    if not isinstance(values, list) or len(values) != count:
        return None
    try:
        numbers = [float(value) / 1000 for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return (
        None
        if any(map(math.isnan, numbers))
        else tuple(min(max(number, 0.0), 1.0) for number in numbers)
    )


TASKS = {
    "describe": Task("Describe in detail what can be seen.", parse_text),
    "plan": Task(
        'The task is: "{subject}". Generate a plan of subtasks that accomplishes it, as a numbered '
        "list.",
        parse_steps,
    ),
    "next_action": Task(
        'The task is: "{subject}". What can be the next immediate action?', parse_text
    ),
    "boxes": Task(
        "Locate every instance of: {subject}. Return a JSON list of "
        '{"bbox_2d": [x1, y1, x2, y2], "label": "object name"}.',
        parse_boxes,
    ),
    "points": Task(
        'Point to: {subject}. Return a JSON list of {"point_2d": [x, y], "label": "target point"}.',
        parse_points,
    ),
    "trajectory": Task(
        'You are given the task "{subject}". Specify the 2D trajectory your end effector should '
        'follow. Return a JSON list of {"point_2d": [x, y], "label": "gripper trajectory"} in the '
        "order of the motion.",
        parse_points,
    ),
    "plausibility": Task(
        "Is what this video shows physically possible (objects persist, keep their shape and move "
        "continuously)? Answer with the letter only.\n(A) Possible\n(B) Impossible",
        parse_plausible,
    ),
}
