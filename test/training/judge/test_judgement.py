# SPDX-License-Identifier: Apache-2.0
"""Asking about clips: what is shown, what is kept, how a run goes on, and what it comes to."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.interface import Answer, Clip
from cosmos3_ros.training.judge.clip_folder import Footage, find_clips
from cosmos3_ros.training.judge.judgement import FILE, Judged, Manner, judge
from cosmos3_ros.training.judge.question_file import Question, pairs
from cosmos3_ros.training.judge.report import report
from cosmos3_ros.training.judge.summary import row

QUESTIONS = [
    Question("Is it red?", "semantic alignment", label=True),
    Question("Does it float?", "physical laws", "gravity", label=False),
    Question("Is it whole?", "visual integrity"),
]
MANNER = Manner("nobody", fps=2.0, append="Yes or no?")


class Oracle:
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = [*answers]
        self.asked: list[tuple[str, Sequence[Any]]] = []

    def ask(
        self, question: str, images: Sequence[np.ndarray | Clip] = (), max_tokens: int = 128
    ) -> Answer:
        self.asked.append((question, images))
        if not self._answers:
            raise ConnectionError("gone")
        return self._answers.pop(0)


YES, NO, WORDS = Answer("Yes.", yes=0.9), Answer("No.", yes=0.2), Answer("no, it is not")


@pytest.fixture
def clips(tmp_path: Path) -> list[Footage]:
    for name in ("a", "b"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for number in range(3):
            image = Image.new("RGB", (8, 8), (number, 0, 0))
            image.save(tmp_path / "clips" / name / f"{number}.png")
    return find_clips(tmp_path / "clips")


def silent(_: str) -> None: ...


def test_a_run_goes_on_where_it_was_interrupted(clips: list[Footage], tmp_path: Path) -> None:
    asked, out = pairs(QUESTIONS, ["a", "b"]), tmp_path / "out"
    first = Oracle(YES, NO, WORDS, YES)
    with pytest.raises(ConnectionError):
        judge(first, asked, clips, MANNER, out, silent)
    assert first.asked[0][0] == "Is it red? Yes or no?"
    assert isinstance(first.asked[0][1][0], Clip)
    file = out / FILE
    file.write_text(file.read_text() + '{"clip": "b", "quest')  # killed while it wrote
    second = Oracle(NO, NO)
    judged, unread = judge(second, asked, clips, MANNER, out, silent)
    assert not unread
    assert [question for question, _ in second.asked] == [
        "Does it float? Yes or no?",
        "Is it whole? Yes or no?",
    ]
    assert [one.answer for one in judged] == [True, False, False, True, False, False]
    assert judge(Oracle(), asked, clips, MANNER, out, silent) == (judged, {})
    # a clip that has changed is asked about again
    Image.new("RGB", (9, 9)).save(tmp_path / "clips" / "b" / "2.png")
    last = Manner("nobody", last=True, fps=2.0, append="Yes or no?")
    other = r"answers.jsonl: its answers were asked with last False, expected last True: .* --out"
    with pytest.raises(ValueError, match=other):
        judge(Oracle(), asked, clips, last, out, silent)
    # one that cannot be read is left out, the others are judged
    rest, unread = judge(Oracle(), asked, clips, MANNER, out, silent)
    assert rest == judged[:3]
    assert "2.png: expected 8 x 8 pixels" in unread["b"]
    assert len(file.read_text().splitlines()) == 7


def test_nothing_is_kept_of_a_run_without_an_answer(clips: list[Footage], tmp_path: Path) -> None:
    """It may be called again in another manner, as after a mistake in the first."""
    asked = pairs(QUESTIONS[:1], ["a"])
    with pytest.raises(ConnectionError):
        judge(Oracle(), asked, clips, MANNER, tmp_path, silent)
    other = Manner("somebody", fps=3.0)
    (judged,), _ = judge(Oracle(YES), asked, clips, other, tmp_path, silent)
    assert judged.answer is True
    for frame in (tmp_path / "clips" / "b").iterdir():
        frame.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"no clip can be read; b: "):
        judge(Oracle(), pairs(QUESTIONS[:1], ["b"]), clips, other, tmp_path, silent)


@pytest.mark.parametrize("line", ['{"clip": "a"}', "{", "[]", '{"asked": 1}'])
def test_a_damaged_line_is_named(clips: list[Footage], tmp_path: Path, line: str) -> None:
    asked = pairs(QUESTIONS, ["a"])
    judge(Oracle(YES, YES, YES), asked, clips, MANNER, tmp_path, silent)
    head, *rest = (tmp_path / FILE).read_text().splitlines()
    (tmp_path / FILE).write_text("\n".join([head, line, *rest]) + "\n")
    with pytest.raises(ValueError, match=r"answers.jsonl:2: expected an answer of an earlier run"):
        judge(Oracle(), asked, clips, MANNER, tmp_path, silent)


def test_probability_decides_and_else_the_words(clips: list[Footage], tmp_path: Path) -> None:
    question = QUESTIONS[0]
    told = [("No.", 0.7), ("Yes, it is.", math.nan), ("no", math.nan), ("Perhaps.", math.nan)]
    answers = [Judged("a", question, said, yes).answer for said, yes in told]
    assert answers == [True, True, False, None]


def test_the_rows_count(clips: list[Footage]) -> None:
    red, floats, whole = QUESTIONS
    judged = [
        Judged("a", red, "Yes.", 0.9),
        Judged("b", red, "No.", 0.2),
        Judged("a", floats, "No.", 0.1),
        Judged("b", floats, "Perhaps.", math.nan),
        Judged("a", whole, "yes", math.nan),
    ]
    found = row(judged)
    assert {name: found[name] for name in ("asked", "yes", "unanswered", "by_words")} == {
        "asked": 5,
        "yes": 2,
        "unanswered": 1,
        "by_words": 2,
    }
    assert (found["labeled"], found["right"]) == (4, 2)
    low, rate, high = (found["accuracy"][name] for name in ("low", "rate", "high"))
    assert (low < rate < high, rate) == (True, 0.5)
    # |0.9 - 1|, |0.2 - 1| and |0.1 - 0|, each in a bin of its own
    assert found["calibration_error"] == pytest.approx((0.1 + 0.8 + 0.1) / 3)
    assert found["brier"] == pytest.approx((0.01 + 0.64 + 0.01) / 3)
    alone = row([judged[4]])
    assert (alone["yes"], alone["labeled"], "accuracy" in alone) == (1, 0, False)


def test_json_and_page_hold_what_was_found(clips: list[Footage], tmp_path: Path) -> None:
    asked = pairs(QUESTIONS, ["a", "b"])
    oracle = Oracle(YES, Answer("Yes | no.", yes=0.95), WORDS, NO, NO, YES)
    content = report(oracle, MANNER, asked, clips, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "judge.json").read_text()) == content
    assert list(content["dimensions"]) == [
        "semantic alignment",
        "physical laws",
        "visual integrity",
    ]
    assert [one["count"] for one in content["reliability"]] == [2, 2]
    page = (tmp_path / "out" / "judge.md").read_text()
    assert "| all | 6 | 3/6 (19% to 81%) | 0 | 2/4 (15% to 85%) |" in page
    assert "**1 of 6 answers are words alone**" in page
    assert "| 0.9 to 1.0 | 2 | 0.925 | 0.500 |" in page
    wrong = page[page.index("## Wrong answers") : page.index("## By aspect")]
    assert wrong.index("Does it float?") < wrong.index("Is it red?")  # the surest first
    assert "| a | Does it float? | no | 0.950 | Yes \\| no. |" in wrong
