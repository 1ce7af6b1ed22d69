# SPDX-License-Identifier: Apache-2.0
"""The pictures of the last seconds of one camera, a few for each second. Pure; times are passed in.

A picture is whatever the owner keeps of it.
"""

from __future__ import annotations

import collections
from typing import Generic, TypeVar

from ...model.interface import NS

Picture = TypeVar("Picture")


class RecentPictures(Generic[Picture]):
    """The newest picture, and earlier ones at most `rate` a second back to `seconds` ago.

    seconds 0: the newest alone. One thread adds, others may ask.
    """

    def __init__(self, seconds: float, rate: float) -> None:
        self._span, self._step = int(seconds * NS), int(NS / rate)
        self._kept: collections.deque[tuple[int, Picture]] = collections.deque()
        self._newest: tuple[int, Picture] | None = None

    def add(self, stamp: int, picture: Picture) -> None:
        """Take a picture of `stamp` (ns), newer than those before; an older one is dropped."""
        if self._newest and stamp <= self._newest[0]:
            return
        self._newest = stamp, picture
        if not self._span:
            return
        # a camera's period varies: a tenth of a step early is on time
        if not self._kept or stamp - self._kept[-1][0] >= 0.9 * self._step:
            self._kept.append((stamp, picture))
        while stamp - self._kept[0][0] > self._span:
            self._kept.popleft()

    @property
    def newest(self) -> Picture | None:
        """None without one."""
        return self._newest[1] if self._newest else None

    def last(self, seconds: float) -> list[tuple[int, Picture]]:
        """Stamps and pictures of the last `seconds` until the newest one, oldest first."""
        newest, kept = self._newest, tuple(self._kept)  # before another one is added
        if newest is None:
            return []
        since = newest[0] - int(seconds * NS)
        return [*(item for item in kept if since <= item[0] < newest[0]), newest]

    def clear(self) -> None:
        """Nothing was seen."""
        self._kept.clear()
        self._newest = None
