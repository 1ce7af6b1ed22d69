# SPDX-License-Identifier: Apache-2.0
"""Words that people put into a prompt: Unicode text without the tokenizer's control tokens."""

from __future__ import annotations

from typing import Any


class PromptError(ValueError):
    """A prompt that cannot be read. Its message is for whoever wrote the prompt."""


def check_text(what: str, text: str) -> str:
    """The text; PromptError if it has a lone surrogate, for which UTF-8 has no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise PromptError(
            f"{what}: expected Unicode text, got a lone surrogate, U+{code:04X}, as character "
            f"{error.start + 1}"
        ) from None
    return text


def check_words(what: str, text: str, tokenizer: Any) -> str:
    """The text; PromptError if it has control tokens in it, by which it could end its turn.

    tokenizer: transformers' tokenizer of the checkpoint.
    """
    check_text(what, text)
    if found := [token for token in control_tokens(tokenizer).values() if token in text]:
        raise PromptError(f"{what}: expected plain words, got {found}")
    return text


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """The control tokens by id: all special ones but those around a thought, which answers have."""
    added = tokenizer.added_tokens_decoder.items()
    return {
        number: token.content
        for number, token in added
        if token.special and "think>" not in token.content
    }
