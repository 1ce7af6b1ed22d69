# SPDX-License-Identifier: Apache-2.0
"""Picture and video files, as the reasoner looks at them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..interface import Clip
from ..media.picture import decode_picture, is_picture
from ..media.video import FORMATS, NotAVideoError, Source, VideoTimes, read_frames, read_times
from .vision_encoder import sample_frames

_EXPECTED = "expected an image (png, jpeg, webp, bmp, tiff) or a video (mp4, mov, webm, mkv, avi)"
_PER_SECOND = 1000.0  # of the indices of a clip that has no rate: they are milliseconds


def read_media(path: Path) -> np.ndarray | Clip:
    """An image as uint8 [H, W, 3] RGB, or those frames of a video that the reasoner looks at.

    Both stand upright, as the file says. ValueError names a file that is neither, or damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is a folder: {_EXPECTED}" if path.is_dir() else f"no file {path}")
    if is_picture(path):
        return decode_picture(path.read_bytes(), str(path))
    try:
        return read_clip(path, str(path))
    except NotAVideoError as error:
        raise ValueError(f"{path} is neither image nor video: {_EXPECTED}; {error}") from None


def read_clip(
    source: Source,
    name: str,
    rate: float = 2.0,
    most: int = 1 << 31,
    check: Callable[[int, int], None] = lambda width, height: None,
    formats: str = FORMATS,
) -> Clip:
    """About `rate` frames a second of a video, first and last included, at the file's own times.

    most: frames that it may have; check: of each that is kept, see `read_frames`. Decodes twice,
    because only the end tells how many frames there are, and few are used. ValueError names a video
    that cannot be read.
    """
    times = read_times(source, name, most, formats)
    indices = choose_frames(times, rate)
    kept = read_frames(source, name, indices, check, formats)
    if times.even:
        return Clip(kept, indices, times.rate)
    return Clip(kept, np.rint(times.seconds[indices] * _PER_SECOND).astype(np.int64), _PER_SECOND)


def choose_frames(times: VideoTimes, rate: float) -> np.ndarray:
    """Indices of the frames to use, about `rate` a second, evenly spread in time: int64 [n].

    Of a video without a steady rate each is the nearest to its moment, and none is used twice.
    """
    indices = sample_frames(len(times.seconds), times.rate, rate)
    if times.even:
        return indices
    moments = np.linspace(0, times.seconds[-1], len(indices))
    after = np.searchsorted(times.seconds, moments).clip(1, len(times.seconds) - 1)
    before = after - 1
    nearer = times.seconds[after] - moments < moments - times.seconds[before]
    return np.unique(np.where(nearer, after, before))
