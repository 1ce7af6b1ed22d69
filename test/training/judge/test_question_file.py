# SPDX-License-Identifier: Apache-2.0
"""Question files: ours line by line, HUE's with tags, and every way in which they are wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.training.judge.question_file import DIMENSIONS, Question, pairs, read_questions


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(*lines: Any, name: str = "questions.jsonl") -> Path:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
        return tmp_path / name

    return write


def test_a_line_is_a_question(write: Any) -> None:
    file = write(
        {"question": "Is it open?", "dimension": "physical laws", "clip": "a*", "answer": "Yes."},
        "",
        {"question": "[Visual Integrity][shot change] Is it one shot?", "answer": "unclear"},
        {"question": "Does it fall?", "dimension": "Geometric_Reasoning", "aspect": "contact"},
        {"question": "Is it? ", "dimension": "semantic-alignment", "answer": False},
    )
    assert read_questions(file) == [
        Question("Is it open?", "physical laws", clip="a*", label=True, where=f"{file}:1"),
        Question("Is it one shot?", "visual integrity", "shot change", "*", False, f"{file}:3"),
        Question("Does it fall?", "geometric reasoning", "contact", where=f"{file}:4"),
        Question("Is it?", "semantic alignment", label=False, where=f"{file}:5"),
    ]


GOOD = {"question": "Is it?", "dimension": "physical laws"}
LISTED = ", ".join(DIMENSIONS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "expected JSON: "),
        ("[" * 100_000, "expected JSON: "),
        ("[1]", "expected an object with question, dimension, aspect, clip, answer, got [1]"),
        (GOOD | {"anwser": 1}, "expected question, dimension, aspect, clip, answer, got 'anwser'"),
        ({"dimension": "physical laws"}, "question: expected a text, got none"),
        (GOOD | {"question": " "}, "question: expected a text, got ' '"),
        (GOOD | {"clip": 3}, "clip: expected a text, got 3"),
        (GOOD | {"dimension": "beauty"}, f"dimension: expected one of {LISTED}, got 'beauty'"),
        ({"question": "Is it?"}, f"dimension: expected one of {LISTED}, got none"),
        ({"question": "[beauty] Is it?"}, f"dimension: expected one of {LISTED}, got none"),
        (GOOD | {"answer": "maybe"}, "answer: expected yes, no or unclear, got 'maybe'"),
        (GOOD | {"answer": 1}, "answer: expected yes, no or unclear, got 1"),
    ],
    ids=str,
)
def test_a_wrong_line_is_named(write: Any, line: Any, words: str) -> None:
    file = write(GOOD, line)
    with pytest.raises(ValueError, match=re.escape(f"{file}:2: {words}")):
        read_questions(file)


def test_all_wrong_lines_are_named_up_to_five(write: Any) -> None:
    with pytest.raises(ValueError, match=r"and 2 lines more$") as caught:
        read_questions(write(*["{"] * 3, GOOD, *["{"] * 4))
    text = str(caught.value)
    assert [number for number in range(1, 9) if f"jsonl:{number}: " in text] == [1, 2, 3, 5, 6]


def test_a_file_of_nothing_or_of_bytes_is_refused(write: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected questions, got none"):
        read_questions(write(""))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="bytes: expected text in UTF-8"):
        read_questions(tmp_path / "bytes")


ASKED = [
    "[Visual Integrity][deformation] Does every hand have five fingers?",
    {"id": 7, "text": "[Physical Laws] Does the ball fall?", "choices": ["yes", "no", "unclear"]},
]


@pytest.mark.parametrize("bare", [True, False])
def test_a_bank_of_hue_is_read_by_its_tags(write: Any, bare: bool) -> None:
    samples = [{"sample_name": "robot[1]", "prompt": "A [red] ball.", "questions": ASKED}]
    file = write(samples if bare else {"version": "1.2", "samples": samples}, name="hue.json")
    hand, ball = read_questions(file)
    assert (hand.text, hand.dimension) == ("Does every hand have five fingers?", DIMENSIONS[3])
    assert (hand.aspect, ball.aspect) == ("deformation", "")
    assert (ball.text, ball.dimension) == ("Does the ball fall?", "physical laws")
    assert hand.concerns("robot[1]")
    assert not hand.concerns("robot1")
    assert pairs([hand, ball], ["robot[1]", "other"]) == [("robot[1]", hand), ("robot[1]", ball)]
    with pytest.raises(ValueError, match=r"no question is about a clip of the folder \(other\)"):
        pairs([hand, ball], ["other"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "hue.json: expected JSON: "),
        ({"questions": []}, "hue.json: expected a list of samples, or an object with one"),
        ([{"name": "a"}], "hue.json: samples[0]: expected a sample_name, got None"),
        ([{"sample_name": "a", "questions": ["Is it?"]}], "samples[0]: expected questions that"),
        ([], "hue.json: expected questions, got none"),
    ],
    ids=["cut", "other", "nameless", "untagged", "empty"],
)
def test_a_wrong_bank_is_refused_in_words(write: Any, content: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_questions(write(content, name="hue.json"))


def test_a_question_about_no_clip_is_refused() -> None:
    one = Question("Is it?", "physical laws", clip="left_*", where="q.jsonl:4")
    assert pairs([one], ["left_1", "right", "left_2"]) == [("left_1", one), ("left_2", one)]
    words = "q.jsonl:4: clip: expected one of the folder (a, b), got 'left_*'"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        pairs([one], ["a", "b"])
