# SPDX-License-Identifier: Apache-2.0
"""Decoding a video tile by tile and a few latents at a time, so that long ones fit into a GPU.

In time nothing is approximated: a tile keeps the temporal cache of its convolutions. In space it
is: the decoder's attention and convolutions end at the border of a tile, so tiles overlap and are
blended, which leaves a difference that a test measures.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

OVERLAP = 8  # latents that neighboring tiles share at least, each way

Parts = Callable[[Tensor], Iterator[Tensor]]


@dataclasses.dataclass(frozen=True, slots=True)
class Tile:
    """Height and width in latents of the part of the picture that is decoded at once."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 2 * OVERLAP:
            raise ValueError(
                f"tile: expected at least {2 * OVERLAP} latents each way, got "
                f"{self.height} x {self.width}"
            )


def smaller_tiles(height: int, width: int) -> Iterator[Tile]:
    """Tiles of a picture of so many latents, from the whole of it to the smallest."""
    rows = columns = 1
    least = 2 * OVERLAP
    while True:
        tile = Tile(*(max(least, _side(*one)) for one in ((height, rows), (width, columns))))
        yield tile
        if tile.height == tile.width == least:
            return
        if tile.height >= tile.width:
            rows += 1
        else:
            columns += 1


def _side(whole: int, count: int) -> int:
    """The side of `count` tiles that overlap and cover `whole` latents."""
    return math.ceil((whole + OVERLAP * (count - 1)) / count)


def starts(whole: int, tile: int) -> list[int]:
    """Where tiles of one side begin, so that they cover `whole` and overlap evenly."""
    if tile >= whole:
        return [0]
    count = math.ceil((whole - OVERLAP) / (tile - OVERLAP))
    return [round(place * (whole - tile) / (count - 1)) for place in range(count)]


def blend_weights(whole: int, tile: int, scale: int) -> list[Tensor]:
    """What each tile of an axis counts at its pixels, float32 [tile * scale]; they add up to 1.

    scale: pixels per latent. A weight rises from the tile's border on, except at the picture's.
    """
    begins = starts(whole, tile)
    size = min(tile, whole) * scale
    ramp = torch.arange(size, dtype=torch.float32) + 0.5
    tents = []
    for begin in begins:
        tent = torch.full((size,), float(OVERLAP * scale))
        if begin > 0:
            tent = torch.minimum(tent, ramp)
        if begin * scale + size < whole * scale:
            tent = torch.minimum(tent, ramp.flip(0))
        tents.append(tent)
    total = torch.zeros(whole * scale)
    for begin, tent in zip(begins, tents, strict=True):
        total[begin * scale : begin * scale + size] += tent
    return [
        tent / total[begin * scale : begin * scale + size]
        for begin, tent in zip(begins, tents, strict=True)
    ]


def decode_tiled(decode: Parts, latents: Tensor, tile: Tile, scale: tuple[int, int]) -> Tensor:
    """Latents [z, t, h, w] -> video float32 [3, T, H, W] in the host's memory.

    decode: frames [n, 3, H, W] of a tile's latents, part by part; scale: frames per latent after
    the first, and pixels per latent. With one tile that covers the picture nothing is blended.
    """
    temporal, spatial = scale
    count, height, width = latents.shape[1:]
    frames = 1 + temporal * (count - 1)
    sides = ((height, tile.height), (width, tile.width))
    whole = all(size >= side for side, size in sides)
    rows, columns = (
        list(zip(starts(*side), blend_weights(*side, spatial), strict=True)) for side in sides
    )
    video = torch.zeros(frames, 3, height * spatial, width * spatial)
    for top, vertical in rows:
        for left, horizontal in columns:
            part = latents[:, :, top : top + tile.height, left : left + tile.width]
            weight = vertical[:, None] * horizontal
            place = video[
                :,
                :,
                top * spatial : top * spatial + len(vertical),
                left * spatial : left * spatial + len(horizontal),
            ]
            begin = 0
            for decoded in decode(part):
                seen = decoded.float().cpu()
                place[begin : begin + len(seen)] += seen if whole else seen * weight
                begin += len(seen)
    return video.transpose(0, 1)
