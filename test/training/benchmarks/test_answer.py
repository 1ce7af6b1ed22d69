# SPDX-License-Identifier: Apache-2.0
"""Which option an answer chooses."""

import pytest

from cosmos3_ros.training.benchmarks.answer import chosen_option

LETTERS, YES_NO = ("A", "B", "C", "D"), ("Yes", "No")


@pytest.mark.parametrize(
    ("said", "options", "chosen"),
    [
        ("B", LETTERS, "B"),
        ("(c) the truck", LETTERS, "C"),
        ("D.\nBecause it rains", LETTERS, "D"),
        ("The answer is B, a truck", LETTERS, "B"),
        ("<think>A or B</think> <answer>C</answer>", LETTERS, "C"),
        ("A truck stops", LETTERS, ""),
        ("E", LETTERS, ""),
        ("no.", YES_NO, "No"),
        ("It seems that yes", YES_NO, "Yes"),
        ("Nothing is known", YES_NO, ""),
        ("<think>hm</think> a truck ", (), "a truck"),
        ("<think>never ended", LETTERS, ""),
    ],
)
def test_options_are_told_from_words(said, options, chosen):
    assert chosen_option(said, options) == chosen
