# SPDX-License-Identifier: Apache-2.0
"""Frames to H.264 in an mp4: for people, for datasets, and for a request to a reasoner."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class H264:
    """How frames are compressed: crf is x264's constant quality, less is better."""

    crf: int = 18
    preset: str = "veryfast"
    key_every: int = 0  # frames from a key frame to the next; 0: as x264 chooses
    threads: int = 0  # 0: as x264 chooses


class Mp4Writer:
    """An mp4 that grows frame by frame; a context manager.

    target: a file, or memory; rate: frames per second; size: height and width of the frames;
    comment: kept inside the file. 4:2:0, which every decoder has: an odd last row or column is
    shown twice.
    """

    def __init__(
        self,
        target: Path | io.BytesIO,
        rate: Fraction | int,
        size: tuple[int, int],
        how: H264 = H264(),  # a frozen value
        comment: str = "",
    ) -> None:
        place = str(target) if isinstance(target, Path) else target
        self._container = av.open(place, "w", format="mp4")
        if comment:
            self._container.metadata["comment"] = comment
        options = {"crf": str(how.crf), "preset": how.preset}
        if how.key_every:
            options["g"] = str(how.key_every)
        self._stream = self._container.add_stream("libx264", rate=rate, options=options)
        height, width = size
        self._odd = (height % 2, width % 2)
        self._stream.height, self._stream.width = height + self._odd[0], width + self._odd[1]
        self._stream.pix_fmt = "yuv420p"
        if how.threads:
            self._stream.codec_context.thread_count = how.threads
        self.frames = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self.frames:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def add(self, picture: np.ndarray) -> None:
        """Append a frame: uint8 [H, W, 3] RGB."""
        if any(self._odd):
            picture = np.pad(picture, ((0, self._odd[0]), (0, self._odd[1]), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        self._container.mux(self._stream.encode(frame))
        self.frames += 1


def write_mp4(
    target: Path | io.BytesIO,
    frames: Iterable[np.ndarray],
    rate: Fraction | int,
    how: H264 = H264(),  # a frozen value
    comment: str = "",
) -> None:
    """Write frames, uint8 [H, W, 3] of one size, see `Mp4Writer`; ValueError if there is none."""
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError(f"{target}: expected frames to write, got none")
    with Mp4Writer(target, rate, (first.shape[0], first.shape[1]), how, comment) as film:
        film.add(first)
        for picture in pictures:
            film.add(picture)
