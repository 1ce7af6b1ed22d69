# SPDX-License-Identifier: Apache-2.0
"""Vision features by content hash, least recently used first out: a still scene is encoded once."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..interface import Clip
from .vision_encoder import Grid, VisionEncoder, image_patches, video_patches

KEEP = 8  # pictures or videos


@dataclasses.dataclass(slots=True)
class Picture:
    """An image or a video, as patches or, once it is encoded, as features."""

    # The patches in time, rows and columns.
    grid: Grid
    # Hash of the pixels.
    key: bytes
    # None once it is encoded.
    patches: Tensor | None
    # Tokens [n, hidden], then the deepstack features, each of that shape; [] before it is encoded.
    features: list[Tensor]


class VisionCache:
    """A vision encoder with the features of the last `KEEP` pictures."""

    def __init__(self, vision_encoder: VisionEncoder, device: torch.device):
        self.vision_encoder, self._device = vision_encoder, device
        self._seen: collections.OrderedDict[bytes, Picture] = collections.OrderedDict()

    def picture(self, part: np.ndarray | Clip) -> Picture:
        """An image (uint8 [H, W, 3]) or a clip, cut into patches unless it is known."""
        frames = part.frames if isinstance(part, Clip) else [part]
        digest = hashlib.blake2b(str(isinstance(part, Clip)).encode(), digest_size=16)
        for frame in frames:
            digest.update(str(frame.shape).encode())
            digest.update(frame.ravel().data)  # a copy would hold the GIL
        known = self._seen.get(digest.digest())
        if known is not None:
            return known
        cut = (
            video_patches(frames, self.vision_encoder.pixels, self._device)
            if isinstance(part, Clip)
            else None
        )
        patches, grid = cut or image_patches(frames[0], self.vision_encoder.pixels, self._device)
        return Picture(grid, digest.digest(), patches, [])

    def encode(self, pictures: Sequence[Picture]) -> list[Tensor]:
        """The features of all pictures, concatenated; encodes those that have none yet."""
        new = [picture for picture in pictures if picture.patches is not None]
        if new:
            patches = torch.cat([picture.patches for picture in new if picture.patches is not None])
            counts = [
                math.prod(picture.grid) // self.vision_encoder.pixels.merge**2 for picture in new
            ]
            features = self.vision_encoder(patches, [picture.grid for picture in new])
            for picture, *parts in zip(
                new, *(feature.split(counts) for feature in features), strict=True
            ):
                picture.features, picture.patches = parts, None
        for picture in pictures:
            self._seen[picture.key] = picture
            self._seen.move_to_end(picture.key)
        while len(self._seen) > KEEP:
            self._seen.popitem(last=False)
        return [
            torch.cat(parts)
            for parts in zip(*(picture.features for picture in pictures), strict=True)
        ]
