# SPDX-License-Identifier: Apache-2.0
"""Choice of tokens and streaming of text."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from cosmos3_ros.model.language.token_sampling import (
    DIRECT,
    GREEDY,
    Sampling,
    TokenPicker,
    TokenTransfer,
    candidates,
    pieces,
)

PROMPT = torch.tensor([1, 2])


def test_greedy_takes_the_best():
    scores = torch.tensor([0.0, 3.0, 1.0, 2.0])
    assert TokenPicker(GREEDY, PROMPT, 4)(scores) == 1
    assert TokenPicker(Sampling(temperature=1e-320), PROMPT, 4)(scores) == 1


def test_repetition_counts_prompt_and_answer_and_presence_the_answer_only():
    pick = TokenPicker(Sampling(repetition=2.0), PROMPT, 4)
    scores = torch.tensor([-4.0, 3.0, -1.0, 2.0])  # seen: 3.0 -> 1.5, -1.0 -> -2.0
    assert [pick(scores), pick(scores)] == [3, 1]  # and then 2.0 -> 1.0
    pick = TokenPicker(Sampling(presence=1.5), PROMPT, 4)
    assert [pick(scores), pick(scores), pick(scores)] == [1, 3, 1]


def test_candidates_equal_transformers():
    scores = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 3
    seen = torch.tensor([[3, 7, 7, 20]])
    for top_k, top_p in ((5, 1.0), (0, 0.7), (20, 0.8), (60, 0.99)):
        theirs = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(1.3)])
        if top_k:
            theirs.append(TopKLogitsWarper(top_k))
        theirs.append(TopPLogitsWarper(top_p))
        penalized = TokenPicker(Sampling(repetition=1.3), seen[0], 50).penalize(scores)
        torch.testing.assert_close(
            candidates(penalized, top_k, top_p), theirs(seen, scores[None].clone())[0]
        )


def test_sampling_follows_the_seed_and_stays_among_the_candidates():
    scores = torch.randn(30, generator=torch.Generator().manual_seed(0))

    def draw(seed: int) -> list[int]:
        pick = TokenPicker(Sampling(temperature=1.0, top_k=5, seed=seed), PROMPT, 30)
        return [int(pick(scores)) for _ in range(20)]

    assert draw(1) == draw(1) != draw(2)
    assert set(draw(1)) <= set(scores.topk(5).indices.tolist())


def test_settings_are_checked():
    assert DIRECT.presence == 1.5
    with pytest.raises(ValueError, match=r"expected temperature >= 0.*top_p=0"):
        Sampling(top_p=0)


def test_characters_come_whole():
    class Bytes:
        @staticmethod
        def decode(tokens):
            return bytes(tokens).decode(errors="replace")

    text = "aé水b"
    assert list(pieces(text.encode(), Bytes)) == ["a", "é", "水", "b"]
    assert list(pieces("é".encode()[:1], Bytes)) == ["\ufffd"]  # cut off by the token limit
    assert list(pieces([], Bytes)) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("sampling", [GREEDY, DIRECT])
def test_scores_that_are_not_finite_give_no_token(number, sampling):
    scores = torch.zeros(8)
    scores[5] = 3.0
    pick = TokenPicker(sampling, torch.tensor([1]), 8)
    assert TokenTransfer(pick.said(pick(scores))).wait() in range(8)
    scores[2] = number
    with pytest.raises(ValueError, match="the scores of the next token are not finite"):
        TokenTransfer(pick.said(pick(scores))).wait()
