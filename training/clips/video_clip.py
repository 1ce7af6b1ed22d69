# SPDX-License-Identifier: Apache-2.0
"""One clip at the size of its training, and the windows that are learned of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

from ...model.embodiment.canvas import cover
from ...model.media.video import check_whole, open_video, upright
from ..video_options import MOST_FRAMES, VideoOptions

_FASTEST = 30.0  # frames a second, above which every n-th frame is taken


@dataclasses.dataclass(frozen=True, slots=True)
class VideoClip:
    """Frames with what they show, and where the windows of `length` frames begin."""

    frames: np.ndarray  # uint8 [T, H, W, 3]
    fps: float
    captions: tuple[str, ...]
    starts: tuple[int, ...]  # () where the clip is shorter than a window
    length: int

    def window(self, start: int) -> np.ndarray:
        """uint8 [length, H, W, 3]."""
        return self.frames[start : start + self.length]


def interval_of(rate: float, fps: float) -> int:
    """Every how many frames of a recording at `rate` one is taken, for about `fps` a second.

    fps 0: as few as leave 30 a second or less, NVIDIA's `max_30fps`.
    """
    if fps:
        return max(1, round(rate / fps))
    return max(1, math.ceil(rate / _FASTEST - 1e-3))


def make_clip(
    frames: np.ndarray, fps: float, captions: tuple[str, ...], options: VideoOptions
) -> VideoClip:
    """The clip of pictures that have their size already."""
    count = len(frames)
    length = options.frames or (min(count, MOST_FRAMES) - 1) // 4 * 4 + 1
    stride = options.stride or length
    return VideoClip(
        frames, fps, captions, tuple(range(0, count - length + 1, stride)) if count else (), length
    )


def fit_frames(frames: np.ndarray, options: VideoOptions) -> np.ndarray:
    """Pictures uint8 [T, H, W, 3], covered and cut to the training's size."""
    size = options.size_of(*frames.shape[1:3])
    return np.stack([cover(frame, size) for frame in frames])


def read_frames(
    file: Path, first: int, last: int | None, interval: int, options: VideoOptions
) -> tuple[np.ndarray, float]:
    """Every `interval`-th frame from `first` to `last`, at the training's size, and their rate.

    interval 0: as the options say. uint8 [T, H, W, 3]; ValueError for a file that is no video.
    """
    found: list[np.ndarray] = []
    with open_video(file, str(file)) as (container, stream):
        rate = float(stream.average_rate or 0)
        if not rate > 0:
            raise ValueError(f"{file}: expected frames at a rate, it tells none")
        step = interval or interval_of(rate, options.fps)
        size = None
        for number, frame in enumerate(container.decode(stream)):
            if last is not None and number > last:
                break
            if number < first or (number - first) % step:
                continue
            check_whole(frame, str(file))
            picture = upright(frame)
            size = size or options.size_of(*picture.shape[:2])
            found.append(cover(picture, size))
    if not found:
        raise ValueError(f"{file}: expected a frame {first}, it has fewer")
    return np.stack(found), rate / step
