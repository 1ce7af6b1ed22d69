# SPDX-License-Identifier: Apache-2.0
"""Conversations: turns of text, images and clips in any order, and the template they go into."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..interface import Clip
from ..media.one_line import one_line

ROLES = ("system", "user", "assistant")
PICTURE_START = "<|vision_start|>"


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, by one of `ROLES`; ValueError if it has no text.

    An answer may be empty: a model may have ended it at once. parts: text, images (uint8 [H, W, 3])
    and clips in their order.
    """

    role: str
    parts: tuple[str | np.ndarray | Clip, ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role: expected one of {ROLES}, got {self.role!r}")
        if self.role == "assistant":
            return
        if not any(isinstance(part, str) and part.strip() for part in self.parts):
            who = "question" if self.role == "user" else self.role
            raise ValueError(f"{who}: expected a sentence, got an empty string")


def check_tokenizer(tokenizer: Any) -> None:
    """ValueError if transformers' tokenizer cannot write a conversation as both towers read it.

    It needs a chat template that keeps what is said, and tokens for the end of a turn and the start
    of a picture.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "expected a chat template in chat_template.jinja or tokenizer_config.json, got none"
        )
    said = [{"role": role, "content": f"words of {role}"} for role in ROLES]
    try:
        text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # whatever the template does
        raise ValueError(f"the chat template cannot be used: {one_line(error)}") from None
    if lost := [turn["content"] for turn in said if turn["content"] not in text]:
        raise ValueError(f"the chat template: expected it to keep {lost[0]!r}, got {text!r:.200}")
    start = tokenizer.convert_tokens_to_ids(PICTURE_START)
    if start is None or start == tokenizer.unk_token_id:
        raise ValueError(f"expected a token {PICTURE_START}, got none")
    if tokenizer.eos_token_id is None:
        raise ValueError("expected an end of turn (eos_token in tokenizer_config.json), got none")
