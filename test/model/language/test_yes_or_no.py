# SPDX-License-Identifier: Apache-2.0
"""The probability of yes from the scores of a first token."""

import math
import types

import pytest
import torch

from cosmos3_ros.model.language.yes_or_no import YesOrNo, probability_by_words

WORDS = ["Yes", "yes", "No", "no", "N", "the", "Y"]


def tokenizer(text: str, add_special_tokens: bool) -> types.SimpleNamespace:
    """The longest of WORDS that the text begins with; the last one for what is none of them."""
    text = text.strip()
    fitting = [word for word in WORDS if text.startswith(word)] or ["the"]
    return types.SimpleNamespace(input_ids=[WORDS.index(max(fitting, key=len)), 5])


def scores(**shares: float) -> torch.Tensor:
    return torch.tensor([math.log(shares.get(word, 1e-9)) for word in WORDS])


def test_spellings_count_together() -> None:
    said = YesOrNo(tokenizer).probability(scores(Yes=0.5, yes=0.2, No=0.1, no=0.0001, the=0.2))
    assert said == pytest.approx(0.7 / 0.8001, abs=1e-4)


@pytest.mark.parametrize(("shares", "wanted"), [({"Yes": 1.0}, 1.0), ({"no": 1.0}, 0.0)])
def test_the_ends(shares: dict[str, float], wanted: float) -> None:
    assert YesOrNo(tokenizer).probability(scores(**shares)) == pytest.approx(wanted, abs=1e-6)


def test_another_kind_of_answer_has_none() -> None:
    assert math.isnan(YesOrNo(tokenizer).probability(scores(the=0.7, Yes=0.3)))


def test_a_token_that_begins_both_counts_for_neither() -> None:
    def letters(text: str, add_special_tokens: bool) -> types.SimpleNamespace:
        return types.SimpleNamespace(input_ids=[0])

    assert math.isnan(YesOrNo(letters).probability(scores(Yes=1.0)))


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"Yes": 0.6, "Y": 0.1, " yes": 0.1, "No": 0.1, "n": 0.1}, 0.8),
        ({"Yes": 0.4, "The": 0.5}, math.nan),
        ({" ": 0.9, "Yes": 0.1}, math.nan),  # begins both
        ({"": 0.9, "Yes": 0.1}, math.nan),
        ({"Yesterday": 0.9, "Yes": 0.1}, math.nan),
        ({}, math.nan),
    ],
    ids=["spellings", "neither", "space", "empty", "longer", "none"],
)
def test_words_of_an_endpoint_count_as_spellings_or_their_beginnings(
    told: dict[str, float], wanted: float
) -> None:
    found = probability_by_words((word, math.log(share)) for word, share in told.items())
    assert found == pytest.approx(wanted, nan_ok=True)
