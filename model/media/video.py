# SPDX-License-Identifier: Apache-2.0
"""From a video file to upright frames with their times, as the file says them. PyAV decodes.

Nothing is asked of the rate: recordings of phones and screens have none that holds. Frames are
decoded one by one; whoever keeps them says which.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from .lfs_pointer import POINTER, check_pointer, is_pointer
from .mp4_tables import count_samples

# Demuxers that are tried. Others take any text for a film, or open files and addresses it names.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
MAX_PIXELS = 1 << 27  # of a frame
_EVEN = 0.5  # steps of the mean rate by which frames may be off, and still count as evenly spread
# Before PyAV 19 metadata that are no UTF-8 were an error unless told; since then they never are.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)

Source = Path | bytes
Check = Callable[[int, int], None]  # of width and height, before a frame is converted


@dataclasses.dataclass(frozen=True, slots=True)
class VideoTimes:
    """When each frame of a video is shown."""

    seconds: np.ndarray  # float64 [n], from the first frame on
    rate: float  # frames per second, on the average

    @property
    def even(self) -> bool:
        """Whether the frames are evenly spread, so that `rate` tells all."""
        places = np.arange(len(self.seconds)) / self.rate
        return bool(np.abs(self.seconds - places).max() * self.rate < _EVEN)


@contextlib.contextmanager
def open_video(
    source: Source, name: str, formats: str = FORMATS
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A video, open, and its first stream of pictures.

    name: the source's in the words of a refusal. ValueError for what is no video, has no pictures,
    or is damaged, there or while it is read.
    """
    _check_samples(source, name)
    if isinstance(source, Path):
        check_pointer(source)
    elif is_pointer(source):
        raise NotAVideoError(f"{name}: {POINTER}")
    place = str(source) if isinstance(source, Path) else io.BytesIO(source)
    try:
        with av.open(place, "r", options={"format_whitelist": formats}, **_METADATA) as container:
            if not container.streams.video:
                raise ValueError(f"{name} has sound, but no pictures")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise ValueError(f"{name} has pictures in a codec that is not known here")
            if stream.width * stream.height > MAX_PIXELS:
                raise ValueError(
                    f"{name}: expected at most {MAX_PIXELS} pixels, got {stream.width} x "
                    f"{stream.height}"
                )
            stream.thread_count = 1
            yield container, stream
    except (av.FFmpegError, EOFError) as error:
        words = getattr(error, "strerror", "") or str(error)
        raise NotAVideoError(f"{name} is not readable as a video ({words})") from None


def _check_samples(source: Source, name: str) -> None:
    """ValueError for an mp4 with tables of more samples than it can hold, which fill the memory."""
    try:
        samples, size = count_samples(source)
    except OSError as error:
        raise NotAVideoError(f"{name} is not readable as a video ({error.strerror})") from None
    if samples > size:
        raise NotAVideoError(
            f"{name} is damaged: its tables name {samples} samples, expected at most one for each "
            f"of its {size} bytes"
        )


class NotAVideoError(ValueError):
    """Bytes that ffmpeg does not take for a video, or damaged ones."""


def frames(
    source: Source, name: str, begin: float = 0.0, formats: str = FORMATS
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Every frame with its time in the file [s], from a key frame before `begin` on.

    ValueError as of `open_video`. A file without times has them by its rate.
    """
    with open_video(source, name, formats) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        if begin > 0:
            container.seek(round(begin / (stream.time_base or 1)), stream=stream)
        for index, frame in enumerate(container.decode(stream)):
            seconds: float | None = frame.time  # which PyAV's types promise, and files may lack
            if seconds is None and not rate:
                raise ValueError(f"{name}: expected the times of its frames, got none")
            yield index / rate if seconds is None else seconds, frame


def read_times(
    source: Source, name: str, most: int = 1 << 31, formats: str = FORMATS
) -> VideoTimes:
    """Decodes a video as a whole, which alone tells how many frames it has.

    most: how many it may have. ValueError for more, for none, and as of `open_video`.
    """
    found: list[float] = []
    for moment, _ in frames(source, name, formats=formats):
        found.append(moment)
        if len(found) > most:
            raise ValueError(f"{name}: expected at most {most} frames, got more")
    if not found:
        raise ValueError(f"{name} is a video without frames")
    with open_video(source, name, formats) as (_, stream):
        said = float(stream.average_rate or stream.guessed_rate or 0)
    seconds = np.array(found) - found[0]
    if (np.diff(seconds) < 0).any():
        raise ValueError(f"{name}: expected times that increase, got a frame before the last one")
    return VideoTimes(seconds, _mean_rate(seconds, said))


def _mean_rate(seconds: np.ndarray, said: float) -> float:
    """What the file says, if its frames agree: it is exact, and times are rounded."""
    span = float(seconds[-1])
    measured = (len(seconds) - 1) / span if span else 0.0
    agree = said and (not measured or abs(said / measured - 1) < 1 / max(2, len(seconds)))
    return said if agree else measured or said or 1.0


def read_frames(
    source: Source,
    name: str,
    indices: np.ndarray,
    check: Check = lambda width, height: None,
    formats: str = FORMATS,
) -> list[np.ndarray]:
    """Some frames of a video, as `indices` (which increase) count them: uint8 [H, W, 3] each."""
    wanted, last, found = {*indices.tolist()}, int(indices[-1]), {}
    for index, (_, frame) in enumerate(frames(source, name, formats=formats)):
        if index in wanted:
            check(frame.width, frame.height)
            found[index] = upright(frame)
        if index == last:
            break
    return [found[index] for index in indices.tolist()]


def check_whole(frame: av.VideoFrame, name: str) -> None:
    """ValueError for a frame of which the decoder made up what is damaged in the file.

    For pictures that something is learned from: it looks like any other.
    """
    if frame.is_corrupt:
        raise ValueError(f"{name} is damaged: the picture at {frame.time or 0:.3f} s is not whole")


def upright(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as uint8 [H, W, 3] RGB, turned as the file says."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
