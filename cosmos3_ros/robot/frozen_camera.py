# SPDX-License-Identifier: Apache-2.0
"""A camera whose driver repeats its last picture under fresh stamps. Pure; time is passed in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.interface import NS

LONG = 3 * NS  # the same picture for so long is worth a word,
MOVED = 0.05  # rad or m: if a joint has moved so far meanwhile; else nothing may move in it
SAMPLES = 1000  # bytes of a picture that are compared each time
THOROUGH = NS // 2  # all bytes are compared so often


class FrozenCamera:
    """Looks at the bytes of one camera's pictures, raw or compressed; nothing is decoded."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """The next picture is the first one."""
        self._first = np.zeros(0, np.uint8)
        self._since = self._seen = self._compared = 0
        self._low = self._high = np.zeros(0)

    def look(self, data: Any, now: int, joints: np.ndarray) -> None:
        """A picture came at `now` (ns).

        data: its bytes; joints: where the arm is, rad or m, NaN: not known.
        """
        picture = np.frombuffer(data, np.uint8) if len(data) else np.zeros(0, np.uint8)
        self._seen = now
        if self._is_first(picture, now):
            self._low, self._high = np.fmin(self._low, joints), np.fmax(self._high, joints)
        else:
            self._first, self._since, self._compared = picture, now, now
            self._low = self._high = joints

    def fault(self) -> str:
        """For how long it has shown one picture while the arm moved; empty if it has not."""
        still = self._seen - self._since
        if still < LONG or not (self._high - self._low >= MOVED).any():
            return ""
        return f"the same picture for {still / NS:.1f} s while the arm moved: is the camera frozen?"

    def _is_first(self, picture: np.ndarray, now: int) -> bool:
        first, step = self._first, max(1, len(picture) // SAMPLES)
        if len(picture) != len(first) or not len(first):
            return False
        if not np.array_equal(picture[::step], first[::step]):
            return False
        if now - self._compared < THOROUGH:
            return True
        self._compared = now
        return np.array_equal(picture, first)
