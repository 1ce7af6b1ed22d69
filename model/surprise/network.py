# SPDX-License-Identifier: Apache-2.0
"""A small convolutional network that tells a disturbance from a prediction's usual error.

How far off a prediction usually is depends on what is there: at the arm's edge by as much as a cube
makes that somebody moved. So the network sees what was predicted and what came, and both of a
moment before: what stood still, and then does not, shows in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .comparison import Comparison

WIDTH, BLOCKS = 64, 3  # channels, and residual blocks of one convolution each
PARTS = 5  # latents that `evidence` puts together


class SurpriseNetwork(nn.Module):
    """Logits that a place is disturbed: `evidence` [N, PARTS * C + 1, h, w] -> [N, h, w].

    channels: C of the latents; shape: h, w.
    """

    def __init__(self, channels: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.channels = channels
        width = 7 * channels + 1
        self.gain = nn.Parameter(torch.ones(width, 1, 1))
        self.enter = nn.Conv2d(width, WIDTH, 1)
        self.place = nn.Parameter(torch.zeros(1, WIDTH, *shape))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, WIDTH),
                nn.ReLU(),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
                nn.Dropout2d(0.1),
            )
            for _ in range(BLOCKS)
        )
        self.leave = nn.Conv2d(WIDTH, 1, 1)
        assert self.leave.bias is not None
        nn.init.constant_(self.leave.bias, -4.0)  # most of the time nothing is disturbed

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        seen, predicted, begin, seen_before, predicted_before, known = x.split(
            [self.channels] * PARTS + [1], dim=1
        )
        now, before = seen - predicted, seen_before - predicted_before
        parts = [seen, predicted, begin, now, (seen - seen_before) * known, before]
        parts += [(now - before) * known, known]
        found = self.enter(torch.cat(parts, 1) * self.gain) + self.place
        for block in self.blocks:
            found = found + block(found)
        return self.leave(found)[:, 0]


def evidence(comparisons: Sequence[Comparison], scale: np.ndarray) -> Tensor:
    """What a network is told: float32 [N, PARTS * C + 1, h, w].

    Seen, predicted and begin, seen and predicted of the comparison before (zeros if there was
    none), each in units of `scale` [C]; and whether there was one.
    """
    found = []
    for one in comparisons:
        before = one.before
        parts = [one.seen, one.predicted, one.begin]
        parts += [before.seen, before.predicted] if before else [np.zeros_like(one.seen)] * 2
        known = np.full((1, *one.seen.shape[1:]), before is not None, np.float32)
        found.append(np.concatenate([*parts, known]))
    units = np.append(np.tile(scale, PARTS), 1.0).astype(np.float32)
    return torch.from_numpy(np.stack(found) / units[:, None, None])
