# SPDX-License-Identifier: Apache-2.0
"""The newest of everything that a page shows. A page that is slow misses some, and never lags."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import Any

WATCHED = 3.0  # s after which a page that asks no more counts as closed


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """The newest of one kind: what goes out as JSON, and pictures (JPEG) that go with it."""

    value: Any
    pictures: tuple[bytes, ...] = ()


class Board:
    """Items by their kind, each of which replaces the one before; for any thread.

    Nothing is kept for a page that does not ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._items: dict[str, tuple[int, Item]] = {}
        self._asked = -WATCHED

    def put(self, kind: str, value: Any, pictures: Sequence[bytes] = ()) -> None:
        """Replace the item of this kind."""
        with self._lock:
            self._version += 1
            self._items[kind] = (self._version, Item(value, tuple(pictures)))

    def newer(self, seen: int, pictures: int | None) -> tuple[int, dict[str, Item]]:
        """A page asks: the version now, and what has come since the version `seen`; 0: all.

        pictures: the same of what has pictures; None: without it.
        """

        def is_new(version: int, item: Item) -> bool:
            if item.pictures:
                return pictures is not None and version > pictures
            return version > seen

        with self._lock:
            self._asked = time.monotonic()
            items = self._items.items()
            return self._version, {k: one for k, (v, one) in items if is_new(v, one)}

    @property
    def is_watched(self) -> bool:
        """Whether a page has asked within the last seconds."""
        return time.monotonic() - self._asked < WATCHED
