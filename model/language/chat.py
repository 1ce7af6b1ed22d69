# SPDX-License-Identifier: Apache-2.0
"""What a conversation with the reasoner is made of: turns of words, images and video clips in any order. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

ROLES = ("system", "user", "assistant")


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """Some frames of a video: uint8 [H, W, 3] each, and their places int64 [n] among all its frames, at `fps`."""

    frames: Sequence[np.ndarray]
    places: np.ndarray
    fps: float


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """What one of `ROLES` said: words, images (uint8 [H, W, 3]) and clips, in this order.

    ValueError without words.
    """

    role: str
    parts: tuple[str | np.ndarray | Clip, ...]

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role: expected one of {ROLES}, got {self.role!r}")
        if not any(isinstance(part, str) and part.strip() for part in self.parts):
            who = "question" if self.role == "user" else self.role
            raise ValueError(f"{who}: expected a sentence, got an empty string")
