# SPDX-License-Identifier: Apache-2.0
"""The picture or the frames of a video file that a request begins with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..language.media_file import read_media
from ..media.video import read_frames, read_times
from .options import CompleteRequest

CONTINUED = 5  # frames of a video that are known: its first two latents


def read_known(asked: CompleteRequest) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The first frame and the continued frames of a request, None for what it has not.

    ValueError names a file that cannot be used.
    """
    options = asked.asked
    image = read_first_frame(options.image) if options.image else None
    video = read_continued(options.video, asked.fps, options.keep) if options.video else None
    return image, video


def read_first_frame(file: str) -> np.ndarray:
    """An image file as uint8 [H, W, 3]; ValueError names one that is none."""
    pixels = read_media(Path(os.path.expanduser(file)))
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"image: expected an image, {file} is a video; see --video")
    return pixels


def read_continued(
    file: str, fps: float, keep: str = "first", count: int = CONTINUED
) -> np.ndarray:
    """Some frames of a video, one every 1 / fps s, from its begin or up to its end.

    Returns uint8 [count, H, W, 3], upright. ValueError names a file that is no video, or too short.
    """
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise ValueError(f"video: no file {path}")
    name = f"video: {path}"
    times = read_times(path, name).seconds
    lasts = (count - 1) / fps
    begin = 0.0 if keep == "first" else times[-1] - lasts
    step = times[1] - times[0] if len(times) > 1 else 0.0
    if len(times) < count or times[-1] + step / 2 < lasts:
        raise ValueError(
            f"video: expected {count} frames at {fps:g} per second ({lasts:.2f} s), "
            f"{path} has {len(times)} in {times[-1]:.2f} s"
        )
    moments = begin + np.arange(count) / fps
    # that which is shown at a moment; a hundredth of a frame for times that were rounded
    indices = np.searchsorted(times, moments + step / 100, side="right") - 1
    return np.stack(read_frames(path, name, np.clip(indices, 0, len(times) - 1)))
