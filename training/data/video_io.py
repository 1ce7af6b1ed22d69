# SPDX-License-Identifier: Apache-2.0
"""Frames to H.264 mp4 files, and back from any video that PyAV reads (H.264, AV1, ...)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np

_LATE = 0.1  # share of a step by which a picture may be late and counts as in time
_GAP = 2.1  # steps without a picture that are a hole


def write_video(file: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write frames, uint8 [H, W, 3] (even sides).

    A key frame every second one, so that reading may begin anywhere.
    """
    pictures = iter(frames)
    first = next(pictures)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            "libx264", rate=fps, options={"crf": "18", "g": "2", "preset": "veryfast"}
        )
        stream.height, stream.width, stream.pix_fmt = first.shape[0], first.shape[1], "yuv420p"
        for picture in chain([first], pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def read_video(file: Path, begin: float, count: int, fps: float) -> np.ndarray:
    """Frames from `begin` (s) on, one every 1 / fps s, as uint8 [count, H, W, 3].

    ValueError if one is missing.
    """
    frames: list[np.ndarray] = []
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            container.seek(round(begin / (stream.time_base or 1)), stream=stream)
            for frame in container.decode(stream):
                number = round(((frame.time or 0.0) - begin) * fps)
                if number >= 0 and number != len(frames):
                    raise ValueError(
                        f"{file}: no frame at {begin + len(frames) / fps:.3f} s, at {fps} frames "
                        "per second"
                    )
                if number >= 0:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    return np.stack(frames)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{file}: not readable as video ({error})") from None
    raise ValueError(f"{file}: expected {count} frames from {begin:.3f} s on, it has {len(frames)}")


def video_shape(file: Path) -> tuple[int, int, int]:
    """Height, width and colors of a video's frames."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        return stream.height, stream.width, 3


def at_rate(file: Path, fps: float, height: int = 0) -> np.ndarray:
    """All of a video as one frame every 1 / fps s from its first on, uint8 [T, H, W, 3].

    Each is the newest picture of its time; height: see `fit`. ValueError for a file that is none,
    a slower video and one with holes: pictures between its own are not invented.
    """
    if not file.is_file():
        raise ValueError(f"{file}: no such video")
    found: list[np.ndarray] = []
    times: list[float] = []
    newest = None
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            for frame in container.decode(stream):
                times.append(float(frame.time or 0.0))
                while newest is not None and (len(found) + _LATE) / fps < times[-1] - times[0]:
                    found.append(newest)
                newest = fit(frame.to_ndarray(format="rgb24"), height)
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{file}: not readable as video ({error})") from None
    if newest is None:
        raise ValueError(f"{file}: expected frames, got none")
    steps = np.diff(times)
    if len(steps) and 1 / steps.mean() < fps - 0.1:
        raise ValueError(
            f"{file}: recorded at {1 / steps.mean():.4g} Hz, expected {fps:g} Hz or more: pictures "
            "between its own are not invented"
        )
    if len(steps) and steps.max() * fps > _GAP:
        begin = times[int(steps.argmax())] - times[0]
        raise ValueError(
            f"{file}: no picture from {begin:.2f} to {begin + steps.max():.2f} s, expected one "
            f"every {1 / fps:.3f} s"
        )
    if (len(found) - _LATE) / fps <= times[-1] - times[0]:
        found.append(newest)
    return np.stack(found)


def fit(picture: np.ndarray, height: int) -> np.ndarray:
    """At most so high (0: as it is), and with even sides, as H.264 wants them."""
    tall, wide = picture.shape[:2]
    if height and tall > height:
        return cv2.resize(
            picture, (round(wide * height / tall / 2) * 2, height), interpolation=cv2.INTER_AREA
        )
    return picture[: tall // 2 * 2, : wide // 2 * 2]
