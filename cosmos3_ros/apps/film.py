# SPDX-License-Identifier: Apache-2.0
"""A video of what the cameras saw over what was predicted for that moment, with words beside it."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..model.embodiment.canvas import Canvas
from ..model.media.mp4 import H264, Mp4Writer

WIDTH, HEIGHT = 480, 400  # pixels that the composition of all views has at most
COLUMN = 400  # pixels of the words beside it
SCALE, LINE = 0.5, 20  # of the font, and pixels from line to line
LATE = 0.3  # s by which a prediction may miss the moment; else it is dimmed
BLACK, GRAY, WHITE = (0, 0, 0), (150, 150, 150), (255, 255, 255)


class Layout:
    """The pictures of a video: the views composed as the model sees them, over what it predicted.

    Both have the same composition and size, so that what is the same lies at the same place.
    """

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        height, width = canvas.composite
        self._scale = min(WIDTH / width, HEIGHT / height)
        # H.264 wants even numbers
        self._half = 2 * round(self._scale * height / 2), 2 * round(self._scale * width / 2)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture, both even."""
        return 2 * self._half[0], self._half[1] + COLUMN

    def picture(
        self,
        views: Mapping[str, np.ndarray],
        future: tuple[np.ndarray, float] | None,
        words: Sequence[tuple[str, str]],
    ) -> np.ndarray:
        """One picture, uint8 [*size, 3].

        views: uint8 [H, W, 3] by name; future: a predicted picture of the whole canvas, and how
        many s after this moment it is due; words: what they are about, and the words.
        """
        picture = np.zeros((*self.size, 3), np.uint8)
        height, width = self._half
        self._put_views(picture[:height, :width], views)
        self._put_future(picture[height:, :width], future)
        self._put_words(picture[:, width:], words)
        return picture

    def _put_views(self, target: np.ndarray, views: Mapping[str, np.ndarray]) -> None:
        for panel in self._canvas.panels:
            edges = (panel.top, panel.top + panel.height, panel.left, panel.left + panel.width)
            top, bottom, left, right = (round(self._scale * edge) for edge in edges)
            place = target[top:bottom, left:right]
            if panel.view in views:
                place[:] = _resized(views[panel.view], place.shape[:2])
            seen = panel.view if panel.view in views else f"{panel.view}: no picture"
            write(place, seen, (6, 17), 0.45)

    def _put_future(self, target: np.ndarray, future: tuple[np.ndarray, float] | None) -> None:
        if future is None:
            write(target, "no prediction yet", (6, 17), 0.45)
            return
        frame, later = future
        height, width = self._canvas.content  # what is right of it and below is padding
        target[:] = _resized(frame[:height, :width], target.shape[:2])
        if abs(later) > LATE:
            target //= 2
        when = f"{abs(later):.1f} s {'from now' if later > 0 else 'ago'}"
        moment = "this moment" if abs(later) < 0.05 else when
        write(target, f"predicted for {moment}", (6, 17), 0.45)

    def _put_words(self, target: np.ndarray, words: Sequence[tuple[str, str]]) -> None:
        bottom = LINE
        for title, text in words:
            write(target, title, (12, bottom), 0.45, GRAY)
            for line in wrapped(text, COLUMN - 24):
                bottom += LINE
                write(target, line, (12, bottom))
            bottom += LINE + LINE // 2


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    shrinks = height < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=how)


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, none of which is wider than `width` pixels unless one word is."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        (pixels, _), _ = cv2.getTextSize(longer, cv2.FONT_HERSHEY_SIMPLEX, SCALE, 1)
        if lines and pixels <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def write(
    picture: np.ndarray,
    text: str,
    origin: tuple[int, int],
    scale: float = SCALE,
    color: tuple[int, int, int] = WHITE,
) -> None:
    """Text with a dark edge, which is the same text in black, one pixel off on each side.

    What the font does not have, which is all but ASCII, is written as "?".
    """
    text = text.encode("ascii", "replace").decode()
    left, bottom = origin
    black = [((left + x, bottom + y), BLACK) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    for where, paint in (*black, (origin, color)):
        cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, scale, paint, 1, cv2.LINE_AA)


class Film(Mp4Writer):
    """An mp4 that grows picture by picture: uint8 [*size, 3]; a context manager.

    Pictures may come from another thread; those that come when it is closed are left out.
    """

    def __init__(self, path: pathlib.Path, rate: int, size: tuple[int, int]) -> None:
        # one thread: the robot and the network need the other cores
        super().__init__(path, rate, size, H264(crf=23, threads=1))
        self._lock, self._is_open = threading.Lock(), True

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._is_open = False
            super().__exit__(*error)

    def add(self, picture: np.ndarray) -> None:
        with self._lock:
            if self._is_open:
                super().add(picture)
