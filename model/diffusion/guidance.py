# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance (arXiv 2207.12598): when it applies, and how both branches combine."""

from __future__ import annotations

import dataclasses

from torch import Tensor


@dataclasses.dataclass(frozen=True, slots=True)
class Guidance:
    """How hard to push away from the negative prompt."""

    scale: float = 3.0  # 1: not at all
    interval: tuple[float, float] | None = None  # only at network times strictly inside it
    # Both prompts in one pass, which pays where a pass is too small to fill the device.
    batched: bool = False
    # Combine in float32 as diffusers does, else in the network's dtype as trained.
    precise: bool = False
    # Outside the interval add the last difference again, an approximation that costs nothing.
    reuse: bool = False

    def applies(self, time: float) -> bool:
        """Whether the negative prompt is needed at this time."""
        inside = self.interval is None or self.interval[0] < time < self.interval[1]
        return self.scale != 1.0 and inside


class BranchCombiner:
    """Combines the velocities of both branches in the steps of one denoising loop."""

    def __init__(self, guidance: Guidance):
        self._guidance = guidance
        self._difference: Tensor | None = None  # that guidance made in the last guided step

    def guided(self, conditional: Tensor, unconditional: Tensor | None = None) -> Tensor:
        """The guided velocity of one step; unconditional: None where guidance does not apply."""
        if self._guidance.precise:
            conditional = conditional.float()
        if unconditional is None:
            if self._guidance.reuse and self._difference is not None:
                return conditional + self._difference
            return conditional
        if self._guidance.precise:
            unconditional = unconditional.float()
        guided = unconditional + self._guidance.scale * (conditional - unconditional)
        self._difference = guided - conditional
        return guided
