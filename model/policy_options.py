# SPDX-License-Identifier: Apache-2.0
"""How a policy samples."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyOptions:
    """How a policy samples; the defaults are those of the released DROID policies.

    guidance_interval: network times (0..1000), guidance only strictly between them. seed: of the
    noise; deterministic: the same noise for every chunk. prompt_format: "json" or "plain". horizon:
    rows in a chunk, 0 for as trained. schedule: "flow" or "checkpoint" (what scheduler_config.json
    says). batched_guidance: see `Guidance`, by default on a GPU only. soft_rows: the last so many
    committed rows are a wish that fades, not a decision. future_steps: `decode` imagines the video
    again for the rows as they were decided (forward dynamics, without guidance) in so many steps;
    0: as it was drawn together with them. One step tells the mean of what may be seen, and is
    nearest to what then is.

    Faster and not the same: fewer num_steps; guided_steps: guidance in the first so many steps only
    (0: in all); reuse_guidance: see `Guidance`.
    """

    num_steps: int = 4
    guidance: float = 3.0
    shift: float = 5.0
    guidance_interval: tuple[float, float] | None = None
    batched_guidance: bool | None = None
    guided_steps: int = 0
    reuse_guidance: bool = False
    seed: int = 0
    deterministic: bool = False
    prompt_format: str = "json"
    schedule: str = "flow"
    horizon: int = 0
    soft_rows: int = 0
    future_steps: int = 0

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ValueError(f"num_steps: expected at least 1, got {self.num_steps}")
        if not (math.isfinite(self.guidance) and math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(
                f"guidance and shift: expected finite, shift > 0, got {self.guidance} and {self.shift}"
            )
        if self.prompt_format not in ("json", "plain"):
            raise ValueError(
                f"prompt_format: expected 'json' or 'plain', got {self.prompt_format!r}"
            )
        if self.schedule not in ("flow", "checkpoint"):
            raise ValueError(f"schedule: expected 'flow' or 'checkpoint', got {self.schedule!r}")
        for name in ("guided_steps", "horizon", "soft_rows", "future_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
