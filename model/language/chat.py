# SPDX-License-Identifier: Apache-2.0
"""Conversations with the reasoner: turns of text, images and video clips in any order."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..interface import Clip

ROLES = ("system", "user", "assistant")


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
