# SPDX-License-Identifier: Apache-2.0
"""Where the generator's tokens are in time and in the picture, for their rotary embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .config import ModelConfig


def generator_positions(
    config: ModelConfig,
    text_length: int,
    shape: Sequence[int],
    fps: float,
    rows: int = 0,
    first_row: int = 1,
    scale_single: bool = True,
) -> Tensor:
    """m-RoPE positions of the generator's tokens: float32 [3, N] (time, row, column).

    The vision tokens come first, then `rows` action rows.

    shape: (T, H, W) of the latents; first_row: the frame that action row 0 belongs to (1: it leads
    to frame 1; 0: it is the state at frame 0). Time runs at config.base_fps, whatever `fps` is, and
    starts after the text and a margin. scale_single=False counts a lone frame or row in whole units
    instead, as diffusers does.
    """
    frames, height, width = shape
    start = text_length + config.temporal_margin
    base = config.base_fps / config.temporal_compression

    def clock(count: int, first: int, compression: int) -> Tensor:
        index = torch.arange(first, first + count, dtype=torch.float32)
        if not config.fps_modulation or (count == 1 and not scale_single):
            return index + start
        return index / (fps / compression) * base + start

    down, across = -(-height // config.patch), -(-width // config.patch)
    axes = (
        clock(frames, 0, config.temporal_compression),
        torch.arange(float(down)),
        torch.arange(float(across)),
    )
    vision = torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")])
    if not config.reset_spatial:
        vision[1:] += start
    action = torch.zeros(3, rows) if config.reset_spatial else torch.full((3, rows), float(start))
    if rows:
        action[0] = clock(rows, first_row, 1)
    return torch.cat([vision, action], dim=1)
