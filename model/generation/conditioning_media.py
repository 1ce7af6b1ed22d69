# SPDX-License-Identifier: Apache-2.0
"""The picture or the frames of a video file that a request begins with."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np

from ..language.media_file import open_video, read_media
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
    pixels = read_media(Path(file).expanduser())
    if not isinstance(pixels, np.ndarray):
        raise ValueError(f"image: expected an image, {file} is a video; see --video")
    return pixels


def read_continued(
    file: str, fps: float, keep: str = "first", count: int = CONTINUED
) -> np.ndarray:
    """Some frames of a video, one every 1 / fps s, from its begin or up to its end.

    Returns uint8 [count, H, W, 3], upright. ValueError names a file that is no video, or too short.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"video: no file {path}")
    try:
        times = _times(path)
        lasts = (count - 1) / fps
        begin = times[0] if keep == "first" else times[-1] - lasts
        step = times[1] - times[0] if len(times) > 1 else 0.0
        if len(times) < count or times[-1] - times[0] + step / 2 < lasts:
            raise ValueError(
                f"video: expected {count} frames at {fps:g} per second ({lasts:.2f} s), "
                f"{path} has {len(times)} in {times[-1] - times[0]:.2f} s"
            )
        moments = begin + np.arange(count) / fps
        # that which is shown at a moment; a hundredth of a frame for times that were rounded
        indices = np.searchsorted(times, moments + step / 100, side="right") - 1
        return _frames(path, np.clip(indices, 0, len(times) - 1))
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"video: {path} is not readable as a video ({error})") from None


def _times(path: Path) -> np.ndarray:
    """When each frame is shown, s."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or 24)
        found = [
            index / rate if frame.time is None else frame.time
            for index, frame in enumerate(container.decode(stream))
        ]
    if not found:
        raise ValueError(f"video: {path} has no frames")
    return np.array(found)


def _frames(path: Path, indices: np.ndarray) -> np.ndarray:
    wanted: dict[int, np.ndarray] = {}
    with open_video(path) as container:
        frames = itertools.islice(container.decode(video=0), int(indices.max()) + 1)
        for index, frame in enumerate(frames):
            if index in indices:
                upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                wanted[index] = np.ascontiguousarray(upright)
    return np.stack([wanted[index] for index in indices.tolist()])
