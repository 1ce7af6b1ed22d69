# SPDX-License-Identifier: Apache-2.0
"""A video of the cameras beside the predicted future, and a plot of the joints of a run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

import av
import cv2
import numpy as np

HEIGHT, BAND = 432, 48  # of the picture and of the text below it
LEFT = 576


def canvas(views: Mapping[str, np.ndarray], height: int, width: int) -> np.ndarray:
    """All views in one picture: the first on top at full width, the others side by side below."""
    picture = np.zeros((height, width, 3), np.uint8)
    names = list(views)
    if not names:
        return picture
    top = height if len(names) == 1 else height * 2 // 3
    _paste(picture[:top], views[names[0]], names[0])
    for k, name in enumerate(names[1:]):
        share = width // (len(names) - 1)
        _paste(picture[top:, k * share : (k + 1) * share], views[name], name)
    return picture


def _paste(target: np.ndarray, image: np.ndarray, name: str) -> None:
    """Fit the image into the target, keeping its shape, and write its name on it."""
    scale = min(target.shape[0] / image.shape[0], target.shape[1] / image.shape[1])
    size = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (target.shape[0] - size[1]) // 2, (target.shape[1] - size[0]) // 2
    target[top : top + size[1], left : left + size[0]] = small
    write(target, name, (left + 6, top + 16), 0.45)


def write(picture: np.ndarray, text: str, origin: tuple[int, int], scale: float = 0.5) -> None:
    """White text with a dark edge, which is the same text in black, one pixel off on each side."""
    left, bottom = origin
    black = [((left + x, bottom + y), (0, 0, 0)) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    for where, color in (*black, (origin, (255, 255, 255))):
        cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)


def frame(
    views: Mapping[str, np.ndarray], future: tuple[np.ndarray, float] | None, lines: Sequence[str]
) -> np.ndarray:
    """One video frame: cameras left, predicted frame and its lead time right, text below."""
    picture = np.zeros((HEIGHT + BAND, 2 * LEFT, 3), np.uint8)
    picture[:HEIGHT, :LEFT] = canvas(views, HEIGHT, LEFT)
    if future is not None:
        image, later = future
        when = (
            "this moment"
            if abs(later) < 0.05
            else f"{abs(later):.1f} s {'from now' if later > 0 else 'ago'}"
        )
        _paste(picture[:HEIGHT, LEFT:], image, f"predicted for {when}")
    else:
        write(picture, "no prediction yet", (LEFT + 210, HEIGHT // 2))
    for k, line in enumerate(lines[:2]):
        write(picture, line, (8, HEIGHT + 19 + 20 * k))
    return picture


class Film:
    """An mp4 (H.264) that grows frame by frame; a context manager.

    size: height and width, both even.
    """

    def __init__(
        self, path: pathlib.Path, rate: int, size: tuple[int, int] = (HEIGHT + BAND, 2 * LEFT)
    ) -> None:
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream(
            "libx264", rate=rate, options={"preset": "veryfast", "crf": "23"}
        )
        (self._stream.height, self._stream.width), self._stream.pix_fmt = size, "yuv420p"
        # the robot and the network need the other cores
        self._stream.codec_context.thread_count = 1
        self.frames = 0

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def add(self, picture: np.ndarray) -> None:
        """Append a picture, as `frame` makes it: uint8 [H, W, 3]."""
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        self.frames += 1


def plot_joints(
    path: pathlib.Path,
    joints: Sequence[str],
    commanded: np.ndarray,
    measured: np.ndarray,
    chunks: Sequence[float],
    title: str,
) -> None:
    """Commanded and measured joints over time [T, 1 + N], seconds first.

    chunks: when one came [s].
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if not len(commanded):
        commanded = np.full((1, 1 + len(joints)), np.nan)
    figure, axes = plt.subplots(
        (len(joints) + 1) // 2, 2, figsize=(12, 1.9 * ((len(joints) + 1) // 2)), sharex=True
    )
    for k, (axis, joint) in enumerate(zip(np.ravel(axes), joints, strict=False)):
        axis.plot(measured[:, 0], measured[:, 1 + k], lw=1.6, color="tab:blue", label="measured")
        axis.plot(
            commanded[:, 0], commanded[:, 1 + k], lw=1.0, color="tab:orange", label="commanded"
        )
        for time in chunks:
            axis.axvline(time, color="0.85", lw=0.6, zorder=0)
        axis.set_ylabel(f"{joint} [rad]", fontsize=8)
        axis.tick_params(labelsize=8)
    np.ravel(axes)[0].legend(fontsize=8, loc="best")
    for axis in np.ravel(axes)[-2:]:
        axis.set_xlabel("time [s]; gray: a new chunk", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
