# SPDX-License-Identifier: Apache-2.0
"""Questions with the answer that is wanted, as robot files have them."""

import math

import pytest

from cosmos3_ros.model.language.wanted_answers import WantedAnswer, parse_wanted


def test_questions_and_answers() -> None:
    assert parse_wanted(
        ["Is it open?", " Is it shut? no ", "Is it there? YES.", "Is '{instruction}' done? Yes"]
    ) == (
        WantedAnswer("Is it open?"),
        WantedAnswer("Is it shut?", yes=False),
        WantedAnswer("Is it there?"),
        WantedAnswer("Is '{instruction}' done?"),
    )
    assert WantedAnswer("Is '{instruction}' done?").about("lift {it}") == "Is 'lift {it}' done?"


def test_an_unknown_answer_says_nothing() -> None:
    wanted, unwanted = parse_wanted(["Is it open?", "Is it open? no"])
    assert (wanted.share(0.9), unwanted.share(0.9)) == (0.9, pytest.approx(0.1))
    assert wanted.share(math.nan) == unwanted.share(math.nan) == 0.5


@pytest.mark.parametrize("text", ["", "yes", "?", " ? no", "It is open.", "Is it open? maybe"])
def test_what_is_no_question(text: str) -> None:
    with pytest.raises(ValueError, match=r"^best_of_questions: expected a question, .* got"):
        parse_wanted(["Is it open?", text])
