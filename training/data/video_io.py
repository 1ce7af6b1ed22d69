# SPDX-License-Identifier: Apache-2.0
"""Frames to H.264 mp4 files, and back from any video that PyAV reads (H.264, AV1, ...)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import av
import numpy as np


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
