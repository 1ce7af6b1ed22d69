# SPDX-License-Identifier: Apache-2.0
"""`Canvas.compose` on a GPU: the same arithmetic in the same order, so the same pixels."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..embodiment.canvas import Canvas, taps
from ..interface import check_image


def compose_on_gpu(
    canvas: Canvas, images: Mapping[str, np.ndarray], device: torch.device
) -> Tensor:
    """Camera images -> canvas uint8 [*canvas.size, 3] on `device`.

    images: uint8 [H, W, 3] of any size, by view name.
    """
    canvas.check(images)
    picture = torch.zeros((*canvas.composite, 3), dtype=torch.uint8, device=device)
    for panel in canvas.panels:
        check_image(f"images[{panel.view!r}]", images[panel.view])
        image = torch.from_numpy(np.ascontiguousarray(images[panel.view]))
        if device.type == "cuda":  # so that the copy is asynchronous
            image = image.pin_memory()
        image = image.to(device, non_blocking=True)
        resized = _resize(image, (panel.height, panel.width), cubic=False, antialias=canvas.smooth)
        target = picture[
            panel.top : panel.top + panel.height, panel.left : panel.left + panel.width
        ]
        target.copy_(resized.clamp(0, 255).to(torch.uint8))
    if canvas.content != canvas.composite:
        resized = _resize(picture, canvas.content, cubic=True, antialias=True)
        picture = resized.round().clamp(0, 255).to(torch.uint8)
    return _pad(picture, canvas.size)


def _resize(picture: Tensor, size: tuple[int, int], cubic: bool, antialias: bool) -> Tensor:
    for axis, target in enumerate(size):
        if picture.shape[axis] == target:
            continue
        index, weight = _taps(picture.shape[axis], target, cubic, antialias, picture.device)
        shape = [1, 1, 1]
        shape[axis] = target
        parts = (
            picture.index_select(axis, i) * w.view(shape)
            for i, w in zip(index, weight, strict=True)
        )
        picture = functools.reduce(torch.add, parts)
    return picture.float()


@functools.lru_cache(maxsize=64)
def _taps(
    source: int, target: int, cubic: bool, antialias: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    index, weight = taps(source, target, cubic, antialias)
    return torch.from_numpy(index).to(device), torch.from_numpy(weight).to(device)


def _pad(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """As `canvas.pad`: mirrored, or repeated where the picture is too small to mirror."""
    missing = [want - have for want, have in zip(size, picture.shape[:2], strict=True)]
    mirror = all(more < have for more, have in zip(missing, picture.shape[:2], strict=True))
    for axis, more in enumerate(missing):
        if more:
            index = np.pad(
                np.arange(picture.shape[axis]), (0, more), mode="reflect" if mirror else "edge"
            )
            picture = picture.index_select(axis, torch.from_numpy(index).to(picture.device))
    return picture
