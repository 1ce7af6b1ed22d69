# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities of tokens as OpenAI's chat completions write and read them. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ..model.language.yes_or_no import probability_by_words

LEAST = -9999.0  # OpenAI's number for what cannot be; JSON has no infinity


class TokenLogprob(Protocol):
    """What a server needs of `model.language.token_logprobs.TokenLogprob`."""

    @property
    def token(self) -> int: ...
    @property
    def logprob(self) -> float: ...
    @property
    def top(self) -> tuple[tuple[int, float], ...]: ...


def write_logprobs(
    tokens: Iterable[TokenLogprob], decode: Callable[[Sequence[int]], str]
) -> dict[str, Any]:
    """The field `logprobs` of a choice; decode: the text of token ids."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        text = decode([token])
        # part of a character, which is no text by itself
        whole = "\ufffd" not in text
        return {
            "token": text,
            "logprob": max(logprob, LEAST),
            "bytes": list(text.encode()) if whole else None,
        }

    content = [
        entry(one.token, one.logprob) | {"top_logprobs": [entry(*other) for other in one.top]}
        for one in tokens
    ]
    return {"content": content, "refusal": None}


def read_yes(choice: Any) -> float:
    """The probability of yes by a choice of a reply, see `probability_by_words`; NaN without."""
    try:
        first = choice["logprobs"]["content"][0]
        likeliest = first.get("top_logprobs") or ()
        told = {str(one["token"]): min(float(one["logprob"]), 0.0) for one in likeliest}
        told.setdefault(str(first["token"]), min(float(first["logprob"]), 0.0))
    except (LookupError, TypeError, AttributeError, ValueError):
        return float("nan")
    return probability_by_words(told.items())
