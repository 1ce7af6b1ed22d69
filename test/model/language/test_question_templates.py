# SPDX-License-Identifier: Apache-2.0
"""Questions and parsers of the reasoner's tasks."""

import pytest

from cosmos3_ros.model.interface import Box
from cosmos3_ros.model.language.question_templates import (
    TASKS,
    THINK,
    Point,
    parse_boxes,
    parse_plausible,
    parse_points,
    parse_steps,
    split_thought,
)


def test_thought_is_split_off():
    assert split_thought("<think>\nIt is red.\n</think>\n\nred") == ("It is red.", "red")
    assert split_thought("red") == ("", "red")
    assert split_thought("no opening tag</think> red") == ("no opening tag", "red")
    assert split_thought("<think>cut off by the token lim") == ("cut off by the token lim", "")
    assert split_thought("<think>a</think><answer>b</answer>") == ("a", "b")


def test_boxes_are_fractions_with_ordered_corners():
    text = (
        'Here:\n```json\n[{"bbox_2d": [214, 141, 497, 722], "label": "load"}, '
        '{"bbox_2d": [1200, 500, 0, -3]}]\n```'
    )
    assert parse_boxes(text) == (
        Box("load", 0.214, 0.141, 0.497, 0.722),
        Box("", 0.0, 0.0, 1.0, 0.5),
    )


def test_a_broken_answer_keeps_its_whole_entries():
    text = (
        '[{"bbox_2d": [0, 0, 10, 10], "label": "a"}, {"bbox_2d": [1, 2, 3], "label": "b"}, '
        '{"bbox_2d": [5, 6'
    )
    assert [box.label for box in parse_boxes(text)] == ["a"]
    assert (
        parse_boxes(
            '[{"bbox_2d": ["x", 0, 0, 0]}, {"bbox_2d": null}, {"bbox_2d": [NaN, 0, 0, 0]}] {'
        )
        == ()
    )
    assert parse_boxes("{" * 5000) == ()
    assert (
        parse_boxes(
            '{"bbox_2d": [1' + "0" * 400 + ', 0, 0, 0]} {"bbox_2d": [1' + "0" * 5000 + ", 0, 0, 0]}"
        )
        == ()
    )
    assert parse_boxes("I see no load.") == ()


def test_points_keep_their_order():
    text = '{"point_2d": [713, 680], "label": "gripper trajectory"}\n{"point_2d": [0, 1000]}'
    assert parse_points(text) == (Point("gripper trajectory", 0.713, 0.68), Point("", 0.0, 1.0))


def test_steps_come_without_numbers():
    assert parse_steps(
        "A plan:\n1. Reach the cup.\n 2) Grasp it.\n- no number\n10: Lift 2 cm."
    ) == (
        "Reach the cup.",
        "Grasp it.",
        "Lift 2 cm.",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A", True),
        ("(B) Impossible", False),
        ("b.", False),
        ("Possible", True),
        ("Implausible", False),
        ("An", None),
    ],
)
def test_plausibility(text, expected):
    assert parse_plausible(text) is expected


def test_questions():
    assert TASKS["describe"].question() == "Describe in detail what can be seen."
    assert '"stack the cups"' in TASKS["plan"].question(" stack the cups ")
    assert '{"bbox_2d"' in TASKS["boxes"].question("cup {x}")
    assert TASKS["next_action"].question("tidy up", think=True).endswith(THINK)
    with pytest.raises(ValueError, match="expected a subject, got ''"):
        TASKS["plan"].question()
    with pytest.raises(ValueError, match="expected no subject, got 'cup'"):
        TASKS["describe"].question("cup")
