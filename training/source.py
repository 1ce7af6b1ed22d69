# SPDX-License-Identifier: Apache-2.0
"""Clips that arrive while a training runs: from the experts in other processes, or read from a dataset."""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Generic, TypeVar

from ..model.embodiment import Embodiment
from .collect import Demonstration, in_parallel, record
from .episodes import Clip, make_clip, window_begins

if TYPE_CHECKING:  # the experts' processes import this module, and would import torch with it
    from .recipe import DataOptions

Piece = TypeVar("Piece")  # a clip, or whatever else a training is made of


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    demonstration: Demonstration
    body: Embodiment
    stride: int
    opening: int
    whole: bool


def _perform(job: _Job) -> Clip | None:
    look = None if job.whole else window_begins(job.demonstration.seed, job.stride, job.opening)
    episode = record(job.demonstration, look)
    return None if episode is None else make_clip(episode, job.body, job.stride, job.opening)


def make_clips(options: DataOptions, body: Embodiment, rank: int = 0, size: int = 1) -> Generator[Clip]:
    """All clips that the options ask for, as they become ready: the share of process `rank` of `size`."""
    if options.dataset:
        from .lerobot import make_layout, read_episodes

        layout = make_layout(body, options.features, options.gripper, options.instruction)
        for episode in read_episodes(options.dataset, body, layout, rank, size):
            yield make_clip(episode, body, options.stride, options.opening)
        return
    demonstrations = (
        Demonstration(
            task, seed, options.distractors, noise=options.noise, astray=options.astray, scatter=options.scatter
        )
        for seed in range(options.first_seed, options.first_seed + options.episodes)[rank::size]
        for task in options.tasks
    )
    dense = options.dense or options.stride
    jobs = [
        _Job(demonstration, body, dense if whole else options.stride, options.opening, whole)
        for number, demonstration in enumerate(demonstrations)
        for whole in [_whole(number, len(options.tasks), options.whole)]
    ]
    workers = options.workers or max(1, len(os.sched_getaffinity(0)) // size - 1)
    yield from (clip for clip in in_parallel(_perform, jobs, workers, nice=10) if clip is not None)


def _whole(number: int, tasks: int, share: float) -> bool:
    """Whether every frame of this demonstration is wanted: of each task the same share, not of all at the same time."""
    turn, task = divmod(number, tasks)
    return int((turn + 1) * share + task / tasks) > int(turn * share + task / tasks)


class Source(Generic[Piece]):
    """Fills itself in a thread of its own; `close` ends the processes behind it. clips: made and not yet taken.

    latest: of those that are `wanted` the newest `keep`, taken or not.
    """

    def __init__(
        self, make: Callable[[], Generator[Piece]], keep: int = 0, wanted: Callable[[Piece], bool] = lambda _: True
    ):
        self.clips: list[Piece] = []
        self.latest: collections.deque[Piece] = collections.deque(maxlen=keep)
        self._wanted = wanted
        self.made, self.finished = 0, False
        self._error: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(make,), daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> None:
        """Return when that many clips were made, or all. Raises whatever went wrong in making them."""
        while self.made < count and not self.finished:
            time.sleep(0.05)
        self._check()

    def take(self) -> list[Piece]:
        """The clips that came since the last call; they are kept no longer, pictures are large."""
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

    def _fill(self, make: Callable[[], Generator[Piece]]) -> None:
        clips = make()
        try:
            for clip in clips:
                self.clips.append(clip)
                if self._wanted(clip):
                    self.latest.append(clip)
                self.made += 1
                if self._closing.is_set():
                    break
        except Exception as error:  # told to the thread that asks for clips
            self._error = error
        finally:
            clips.close()  # this ends the processes behind it
            self.finished = True
