# SPDX-License-Identifier: Apache-2.0
"""Frames to H.264 mp4 files, and back from any video (H.264, AV1, ...)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ...model.media.mp4 import H264, write_mp4
from ...model.media.video import check_whole, open_video, upright
from ...model.media.video import frames as frames_of

_LATE = 0.1  # share of a step by which a picture may be late and counts as in time
_GAP = 2.1  # steps without a picture that are a hole


def write_video(file: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write frames, uint8 [H, W, 3] (even sides).

    A key frame every second one, so that reading may begin anywhere.
    """
    write_mp4(file, frames, fps, H264(key_every=2))


def read_video(file: Path, begin: float, count: int, fps: float) -> np.ndarray:
    """Frames from `begin` (s) on, one every 1 / fps s, as uint8 [count, H, W, 3].

    ValueError if one is missing, damaged, or of another size.
    """
    frames: list[np.ndarray] = []
    for seconds, frame in frames_of(file, str(file), begin):
        number = round((seconds - begin) * fps)
        if number >= 0 and number != len(frames):
            raise ValueError(
                f"{file}: no frame at {begin + len(frames) / fps:.3f} s, at {fps} frames per second"
            )
        if number >= 0:
            check_whole(frame, str(file))
            frames.append(upright(frame))
        if len(frames) == count:
            return stacked(frames, str(file))
    raise ValueError(f"{file}: expected {count} frames from {begin:.3f} s on, it has {len(frames)}")


def stacked(pictures: Sequence[np.ndarray], where: str) -> np.ndarray:
    """Pictures of one size, uint8 [H, W, 3] each, as [T, H, W, 3]; ValueError for several sizes."""
    if len(sizes := {picture.shape for picture in pictures}) > 1:
        raise ValueError(f"{where}: expected pictures of one size, got {sorted(sizes)}")
    return np.stack(pictures)


def video_shape(file: Path) -> tuple[int, int, int]:
    """Height, width and colors of a video's frames."""
    with open_video(file, str(file)) as (_, stream):
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
    for seconds, frame in frames_of(file, str(file)):
        times.append(seconds)
        check_whole(frame, str(file))
        while newest is not None and (len(found) + _LATE) / fps < times[-1] - times[0]:
            found.append(newest)
        newest = fit(upright(frame), height)
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
    return stacked(found, str(file))


def fit(picture: np.ndarray, height: int) -> np.ndarray:
    """At most so high (0: as it is), and with even sides, as H.264 wants them."""
    tall, wide = picture.shape[:2]
    if height and tall > height:
        return cv2.resize(
            picture, (round(wide * height / tall / 2) * 2, height), interpolation=cv2.INTER_AREA
        )
    return picture[: tall // 2 * 2, : wide // 2 * 2]
