# SPDX-License-Identifier: Apache-2.0
"""`Canvas.compose` on a GPU: the same arithmetic in the same order, so the same pixels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ..embodiment.canvas import Canvas, taps
from ..interface import check_image
from ..runtime.cuda_graph import CudaGraph


class GpuComposer:
    """Composes canvases on one device; `recorded` ones as a CUDA graph, from the second on.

    It holds for images of the sizes of the last call; others are composed without.
    """

    def __init__(self, canvas: Canvas, device: torch.device):
        self.canvas, self.device = canvas, device
        self._shapes: list[torch.Size] = []
        self._graph: CudaGraph | None = None

    def __call__(self, images: Mapping[str, np.ndarray], recorded: bool = False) -> Tensor:
        """Camera images uint8 [H, W, 3] by view name -> canvas uint8 [*canvas.size, 3]."""
        pictures = _upload(self.canvas, images, self.device)
        shapes = [picture.shape for picture in pictures]
        if not recorded or shapes != self._shapes:
            self._shapes, self._graph = shapes, None
            return _compose(self.canvas, pictures)
        if self._graph is None:
            self._graph = CudaGraph(lambda *seen: (_compose(self.canvas, seen),), pictures)
        return self._graph(*pictures)[0].clone()


def _upload(canvas: Canvas, images: Mapping[str, np.ndarray], device: torch.device) -> list[Tensor]:
    """The images of the canvas's panels, in their order, without waiting for the device."""
    canvas.check(images)
    pictures = []
    for panel in canvas.panels:
        check_image(f"images[{panel.view!r}]", images[panel.view])
        image = torch.from_numpy(np.ascontiguousarray(images[panel.view]))
        if device.type == "cuda":  # so that the copy is asynchronous
            image = image.pin_memory()
        pictures.append(image.to(device, non_blocking=True))
    return pictures


def _compose(canvas: Canvas, pictures: Sequence[Tensor]) -> Tensor:
    device = pictures[0].device
    picture = torch.zeros((*canvas.composite, 3), dtype=torch.uint8, device=device)
    for panel, image in zip(canvas.panels, pictures, strict=True):
        rows, columns = panel.part(*image.shape[:2])
        seen = image[rows, columns]
        seen = seen.flip(0, 1) if panel.turn else seen
        resized = _resize(seen, (panel.height, panel.width), cubic=False, antialias=canvas.smooth)
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


@functools.cache  # for good: recordings read them
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
            index = _padding(picture.shape[axis], more, mirror, picture.device)
            picture = picture.index_select(axis, index)
    return picture


@functools.cache
def _padding(size: int, more: int, mirror: bool, device: torch.device) -> Tensor:
    index = np.pad(np.arange(size), (0, more), mode="reflect" if mirror else "edge")
    return torch.from_numpy(index).to(device)
