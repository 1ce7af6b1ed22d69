# SPDX-License-Identifier: Apache-2.0
"""Frames to H.264 mp4 files and back."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_video(file: Path, frames: np.ndarray, fps: int) -> None:
    """Write uint8 [T, H, W, 3] (even sides); a key frame every second frame, so that reading may begin anywhere."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "g": "2", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def read_video(file: Path, first: int, count: int) -> np.ndarray:
    """Frames `first` to `first + count` as uint8 [count, H, W, 3]; ValueError if the file has fewer."""
    frames = []
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            if not stream.average_rate or not stream.time_base:
                raise ValueError(f"{file}: says nothing about its frame rate")
            step = float(1 / (stream.average_rate * stream.time_base))  # of the clock, per frame
            container.seek(round(first * step), stream=stream)
            for frame in container.decode(stream):
                if frame.pts is not None and round(frame.pts / step) >= first:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    break
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{file}: not readable as video ({error})") from None
    if len(frames) < count:
        raise ValueError(f"{file}: expected {first + count} frames, it ends {count - len(frames)} earlier")
    return np.stack(frames)
