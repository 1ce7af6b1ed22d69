# SPDX-License-Identifier: Apache-2.0
"""What actions are asked for with: policy, forward and inverse dynamics in the model's numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..embodiment.checks import head_number
from ..language.captions import TIERS, VIEWPOINTS
from ..option_fields import check, param
from .options import MOST_FPS

MODES = ("policy", "forward_dynamics", "inverse_dynamics")
MOST_ROWS = 400


@dataclasses.dataclass(frozen=True)
class ActionOptions:
    """One request; ValueError names the field that is wrong."""

    prompt: str = param("", "what is to be done, or is done")
    mode: str = param("policy", "what is made of what", choices=MODES)
    domain: str = param("", "name of the checkpoint's action head")
    width: int = param(0, "channels of an action", minimum=1)
    file: str = param("", "the picture, or for inverse dynamics the video")
    frames: int = param(17, "of the video, the first one included; one more than rows", minimum=2)
    fps: float = param(15.0, "frames per second")
    tier: str = param("480", "size by resolution tier", choices=tuple(TIERS))
    viewpoint: str = param("ego_view", "where the camera is", choices=tuple(VIEWPOINTS))
    view_description: str = param("", "what the views of the picture are")
    # rows of forward dynamics, [frames - 1, width]
    actions: tuple[tuple[float, ...], ...] = ()
    steps: int = param(30, "denoising steps", minimum=1)
    guidance: float = param(1.0, "how hard to push away from the empty prompt; 1: not")
    shift: float = param(10.0, "of the noise levels; 0: as the checkpoint's scheduler", minimum=0.0)
    seed: int = param(0, "of the noise", minimum=0)

    def __post_init__(self) -> None:
        check(self)
        if not self.prompt.strip():
            raise ValueError("prompt: expected a sentence, got an empty string")
        try:
            head_number(self.domain)
        except ValueError as error:
            raise ValueError(f"domain: {error}") from None
        if self.frames % 4 != 1 or self.frames > MOST_ROWS + 1:
            raise ValueError(
                f"frames: expected 4 k + 1 (5, 9, ...), at most {MOST_ROWS + 1}, got {self.frames}"
            )
        if not 0 < self.fps <= MOST_FPS:
            raise ValueError(f"fps: expected more than 0, at most {MOST_FPS:.0f}, got {self.fps}")
        if not self.file:
            kind = "a video" if self.mode == "inverse_dynamics" else "a picture"
            raise ValueError(f"file: expected {kind}, got none")
        self._check_actions()

    def _check_actions(self) -> None:
        wanted = self.mode == "forward_dynamics"
        if not wanted and self.actions:
            raise ValueError(f"actions: expected none for mode {self.mode}")
        sizes = {len(row) for row in self.actions}
        if wanted and (len(self.actions) != self.frames - 1 or sizes != {self.width}):
            got = f"{len(self.actions)} of {', '.join(map(str, sorted(sizes))) or 'no'} numbers"
            raise ValueError(
                f"actions: expected {self.frames - 1} rows of {self.width} numbers, got {got}"
            )
        if not np.isfinite(np.array(self.actions, np.float32)).all():
            raise ValueError("actions: expected finite numbers of float32, got others")
