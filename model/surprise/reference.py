# SPDX-License-Identifier: Apache-2.0
"""What is usual: what a checkpoint's predictions are off by while nothing is disturbed.

Small networks say for each place how likely it is disturbed, see `network`. Surprise is minus the
logarithm of the chance, as they see it, that nothing is, in units of what undisturbed episodes
reach once in ten minutes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..embodiment.canvas import Canvas
from ..interface import Surprise
from .comparison import Comparison
from .network import SurpriseNetwork, evidence

MARKED = 1 << 16  # bytes at the end of a file of weights that tell it from others


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The networks of a checkpoint, and what they say while nothing is disturbed.

    views: names; places: int64 [h, w], the view that a place of the canvas belongs to, -1: none.
    scale: float32 [C], the spread of each channel of the latents. networks: they were trained alike
    from other beginnings, and their mean counts. once: the surprise (nats) that undisturbed
    episodes reach once in ten minutes. about: what it was made with, in words and numbers.
    """

    views: tuple[str, ...]
    places: np.ndarray
    scale: np.ndarray
    networks: tuple[SurpriseNetwork, ...]
    once: float
    about: Mapping[str, Any]

    def nats(self, comparisons: Sequence[Comparison]) -> tuple[np.ndarray, np.ndarray]:
        """How surprising each place and each view is, in nats: [N, h, w] and [N, V]."""
        told = evidence(comparisons, self.scale)
        with torch.inference_mode():
            logits = torch.stack([network(told) for network in self.networks])
        of_view = torch.stack(
            [
                logits[:, :, torch.from_numpy(self.places == view)].logsumexp(-1).mean(0)
                for view in range(len(self.views))
            ],
            1,
        )
        grid = functional.softplus(logits.mean(0)).numpy() * (self.places >= 0)
        return grid, functional.softplus(of_view).numpy()

    def surprise(self, comparison: Comparison, stamp: int) -> Surprise:
        """How surprising a comparison is; stamp: of its last picture, ns."""
        grid, of_view = self.nats([comparison])
        values = of_view[0] / self.once
        named = {name: float(value) for name, value in zip(self.views, values, strict=True)}
        return Surprise(stamp, named, (grid[0] / self.once).astype(np.float32))


def places_of(canvas: Canvas, shape: tuple[int, int]) -> np.ndarray:
    """Which of the canvas' views each of h x w places belongs to, by its middle; -1: none."""
    middles = [
        (np.arange(count) + 0.5) * side / count
        for count, side in zip(shape, canvas.composite, strict=True)
    ]
    y, x = np.meshgrid(*middles, indexing="ij")
    found = np.full(shape, -1)
    for number, panel in enumerate(canvas.panels):
        inside = (y >= panel.top) & (y < panel.top + panel.height)
        inside &= (x >= panel.left) & (x < panel.left + panel.width)
        found[inside] = number
    return found


def weights_mark(checkpoint: Path) -> str:
    """What tells the weights of two trainings apart, by a little of each file: a hash."""
    mark = hashlib.sha256()
    for file in sorted(checkpoint.glob("*/*.safetensors")):
        if file.parent.name not in ("transformer", "vae"):
            continue
        with file.open("rb") as content:
            size = content.seek(0, 2)
            content.seek(max(0, size - MARKED))
            mark.update(f"{file.parent.name}/{file.name} {size}".encode() + content.read())
    return mark.hexdigest()[:16]
