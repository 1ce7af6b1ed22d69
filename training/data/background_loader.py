# SPDX-License-Identifier: Apache-2.0
"""Training data made in a thread while the training runs."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

Item = TypeVar("Item")  # a clip, or whatever else a training is made of


class BackgroundLoader(Generic[Item]):
    """Collects what a generator makes, in a thread of its own; `close` ends the generator.

    clips: items made and not yet taken; latest: the newest `keep` items for which `wanted` is
    true, taken or not; made: how many items there have been.
    """

    def __init__(
        self,
        make: Callable[[], Generator[Item]],
        keep: int = 0,
        wanted: Callable[[Item], bool] = lambda _: True,
    ):
        self.clips: list[Item] = []
        self.latest: collections.deque[Item] = collections.deque(maxlen=keep)
        self._wanted = wanted
        self.made, self.finished = 0, False
        self._error: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(make,), daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Return when that many items were made, or all there are.

        Raises the exception of the generator.
        """
        while self.made < count and not self.finished:
            time.sleep(0.05)
        self._check()

    def take(self) -> list[Item]:
        """The items made since the last call; the loader keeps them no longer."""
        self._check()
        fresh = self.clips[:]
        del self.clips[: len(fresh)]
        return fresh

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _fill(self, make: Callable[[], Generator[Item]]) -> None:
        clips = make()
        try:
            for clip in clips:
                self.clips.append(clip)
                if self._wanted(clip):
                    self.latest.append(clip)
                self.made += 1
                if self._closing.is_set():
                    break
        except Exception as error:  # raised in the thread that asks for items
            self._error = error
        finally:
            clips.close()  # ends the processes of in_parallel
            self.finished = True
