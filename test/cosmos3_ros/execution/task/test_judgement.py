# SPDX-License-Identifier: Apache-2.0
"""What answers of a reasoner say."""

import pytest

from cosmos3_ros.execution.task.judgement import Judgement, question_about, steps_of


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Yes.", True),
        (" yes, it is in the bowl", True),
        ("**Yes**", True),
        ("No.", False),
        ("NO", False),
        ("not yet", None),
        ("Nothing moves.", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_an_answer_is_yes_no_or_neither(answer: str, said: bool | None) -> None:
    assert Judgement("done?", answer, 1).is_yes is said


def test_a_question_may_name_the_instruction() -> None:
    assert question_about("lift it", 'Is "{instruction}" done?') == 'Is "lift it" done?'
    assert question_about("lift it", "Does it hold {something}?") == "Does it hold {something}?"


def test_steps_are_the_lines_of_a_numbered_list() -> None:
    said = "Plan:\n1. Pick up the red cube.\n 2) put it in the bowl \n3: rest\nThat is all."
    wanted = ("Pick up the red cube", "put it in the bowl", "rest")
    assert steps_of(said, "tidy up") == wanted
    assert steps_of("Just do it.", "tidy up") == ("tidy up",)
    assert steps_of("", "tidy up") == ("tidy up",)
