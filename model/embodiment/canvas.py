# SPDX-License-Identifier: Apache-2.0
"""From camera images to the one picture that the model sees: panels, resize, pad. numpy only."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping

import numpy as np

from ..arrays import check_image

WHOLE = (0.0, 0.0, 1.0, 1.0)  # a crop that keeps everything
TURNS = (0, 180)  # degrees


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """Where one view goes in the composite, in pixels, and which part of its picture is seen.

    crop: top, left, height and width of that part as shares of the camera's picture, so that it is
    the same at any resolution; turn: degrees by which the part is turned then.
    """

    view: str
    top: int
    left: int
    height: int
    width: int
    crop: tuple[float, float, float, float] = WHOLE
    turn: int = 0

    def part(self, height: int, width: int) -> tuple[slice, slice]:
        """The rows and columns of a picture of this size that are seen, at least one of each."""
        top, left, high, wide = self.crop
        return _share(top, high, height), _share(left, wide, width)


@dataclasses.dataclass(frozen=True, slots=True)
class Canvas:
    """How views become one picture: put on `composite`, shrunk to `content`, padded to `size`.

    Panels are resized bilinearly, without antialiasing unless `smooth` (DROID was trained without);
    composite to content is bicubic with antialiasing. `size` is the resolution of the prompt; the
    network is shown only `content`.
    """

    panels: tuple[Panel, ...]
    composite: tuple[int, int]  # H, W, as the two below
    content: tuple[int, int]
    size: tuple[int, int]
    smooth: bool = False

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the cameras, in the order of the panels."""
        return tuple(panel.view for panel in self.panels)

    @property
    def areas(self) -> tuple[tuple[slice, slice], ...]:
        """The rows and columns of each panel in a composed picture."""
        high, wide = (new / old for new, old in zip(self.content, self.composite, strict=True))
        return tuple(
            (
                slice(round(panel.top * high), round((panel.top + panel.height) * high)),
                slice(round(panel.left * wide), round((panel.left + panel.width) * wide)),
            )
            for panel in self.panels
        )

    def check(self, images: Mapping[str, np.ndarray]) -> None:
        """ValueError if a view is missing."""
        if missing := [view for view in self.views if view not in images]:
            raise ValueError(
                f"images: missing view(s) {missing}, expected {list(self.views)}, got "
                f"{sorted(images)}"
            )

    def compose(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Camera images (uint8 [H, W, 3] by view name, any size) -> uint8 [*size, 3]."""
        self.check(images)
        picture = np.zeros((*self.composite, 3), np.uint8)
        for panel in self.panels:
            area = picture[
                panel.top : panel.top + panel.height, panel.left : panel.left + panel.width
            ]
            area[:] = self.fit(panel, images)
        if self.content != self.composite:
            picture = shrink(picture, self.content)
        return pad(picture, self.size)

    def cut(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The views in a composed picture, with or without padding: uint8 [height, width, 3] each.

        The inverse of `compose`, as far as the panels' resolution goes.
        """
        height, width = self.content
        whole = pad(picture[:height, :width], self.content)  # latents are whole cells of it
        if self.content != self.composite:
            grown = resize(whole, self.composite, cubic=True, antialias=True)
            whole = np.clip(np.rint(grown), 0, 255).astype(np.uint8)
        return {
            panel.view: whole[
                panel.top : panel.top + panel.height, panel.left : panel.left + panel.width
            ]
            for panel in self.panels
        }

    def fit(self, panel: Panel, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """The picture of one panel, uint8 [height, width, 3]: cropped, turned, resized.

        Without crop and turn it stays the same when it is composed.
        """
        picture = images[panel.view]
        check_image(f"images[{panel.view!r}]", picture)
        picture = picture[panel.part(*picture.shape[:2])]
        if panel.turn:
            picture = picture[::-1, ::-1]
        resized = resize(picture, (panel.height, panel.width), cubic=False, antialias=self.smooth)
        return np.clip(resized, 0, 255).astype(np.uint8)

    def slim(self, panel: Panel, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """The view as it may be sent, uint8 [H, W, 3]: composed, it gives the panel's pixels.

        That is the panel's own picture, or the camera's where the crop is still to be made.
        """
        if panel.crop == WHOLE and not panel.turn:
            return self.fit(panel, images)
        check_image(f"images[{panel.view!r}]", images[panel.view])
        return images[panel.view]


def _share(begin: float, length: float, side: int) -> slice:
    first = min(round(begin * side), side - 1)
    return slice(first, max(first + 1, round((begin + length) * side)))


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic with antialiasing, rounded: uint8 [H, W, 3] -> uint8 [*size, 3]."""
    return np.clip(np.rint(resize(picture, size, cubic=True, antialias=True)), 0, 255).astype(
        np.uint8
    )


def cover(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 [H, W, 3] bilinearly to cover `size`, cut out the middle: uint8 [*size, 3]."""
    check_image("image", picture)
    scale = max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    whole = (math.ceil(scale * picture.shape[0]), math.ceil(scale * picture.shape[1]))
    resized = resize(picture, whole, cubic=False, antialias=True)
    top, left = (round((have - want) / 2) for have, want in zip(whole, size, strict=True))
    return np.clip(np.rint(resized[top : top + size[0], left : left + size[1]]), 0, 255).astype(
        np.uint8
    )


def pad(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grow [H, W, 3] to `size` at the right and bottom by mirroring it.

    A picture too small for that repeats its edge.
    """
    below, right = size[0] - picture.shape[0], size[1] - picture.shape[1]
    if not below and not right:
        return picture
    mirror = below < picture.shape[0] and right < picture.shape[1]
    return np.pad(picture, ((0, below), (0, right), (0, 0)), mode="reflect" if mirror else "edge")


def resize(picture: np.ndarray, size: tuple[int, int], cubic: bool, antialias: bool) -> np.ndarray:
    """[H, W, 3] -> float32 [*size, 3], pixel centers as in torch with align_corners=False."""
    for axis, target in enumerate(size):
        if picture.shape[axis] == target:
            continue
        index, weight = taps(picture.shape[axis], target, cubic, antialias)
        weight = (
            weight.reshape(*weight.shape, *(1,) * (picture.ndim - 1))
            if axis == 0
            else weight[..., None]
        )
        parts = (np.take(picture, index[k], axis=axis) * weight[k] for k in range(len(index)))
        picture = functools.reduce(np.add, parts)
    return picture.astype(np.float32)


@functools.lru_cache(maxsize=64)
def taps(source: int, target: int, cubic: bool, antialias: bool) -> tuple[np.ndarray, np.ndarray]:
    """The resampling of one axis: indices of the pixels to add up and weights, [taps, target]."""
    scale = source / target
    spread = max(scale, 1.0) if antialias else 1.0
    center = (np.arange(target) + 0.5) * scale - 0.5
    reach = int(np.ceil((2 if cubic else 1) * spread))
    index = np.floor(center).astype(np.int64) + np.arange(1 - reach, reach + 1)[:, None]
    distance = np.abs(index - center) / spread
    if cubic:
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    else:
        weight = np.maximum(1 - distance, 0.0)
    weight *= (index >= 0) & (index < source)
    weight /= weight.sum(axis=0)
    return np.clip(index, 0, source - 1), weight.astype(np.float32)
