# SPDX-License-Identifier: Apache-2.0
"""Picture and video files, as the reasoner looks at them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from ..interface import Clip
from .vision_encoder import sample_frames

# Demuxers that are tried. Others take any text for a film, or open files and addresses it names.
_VIDEOS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
_EXPECTED = "expected an image (png, jpeg, webp, bmp, tiff) or a video (mp4, mov, webm, mkv, avi)"


def read_media(path: Path) -> np.ndarray | Clip:
    """An image as uint8 [H, W, 3] RGB, or those frames of a video that the reasoner looks at.

    Both stand upright, as the file says. ValueError names a file that is neither, or damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path} is a folder: {_EXPECTED}" if path.is_dir() else f"no file {path}")
    try:
        with Image.open(path) as image:
            image.load()  # which, unlike OpenCV, refuses one that is cut off
    except Image.UnidentifiedImageError:
        return _read_video(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is an image that cannot be read: {error}") from None
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is an image of another kind: {_EXPECTED}")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _read_video(path: Path) -> Clip:
    """Decodes twice, because only the end tells how many frames there are, and few are used."""
    try:
        with open_video(path) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has sound, but no pictures: {_EXPECTED}")
            stream = container.streams.video[0]
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            count = sum(1 for _ in container.decode(stream))
        if not (count and fps):
            raise ValueError(f"{path} is a video without frames")
        indices = sample_frames(count, fps)
        with open_video(path) as container:
            return Clip([*_frames(container, {*indices.tolist()})], indices, fps)
    except av.FFmpegError as error:
        raise ValueError(
            f"{path} is neither image nor video: {_EXPECTED} ({error.strerror})"
        ) from None


def _frames(container: av.container.InputContainer, wanted: set[int]) -> Iterator[np.ndarray]:
    for index, frame in enumerate(itertools.islice(container.decode(video=0), max(wanted) + 1)):
        if index in wanted:
            upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
            yield np.ascontiguousarray(upright)


def open_video(path: Path) -> av.container.InputContainer:
    """A video file of a known kind, open; av.FFmpegError for any other."""
    return av.open(str(path), "r", options={"format_whitelist": _VIDEOS})
