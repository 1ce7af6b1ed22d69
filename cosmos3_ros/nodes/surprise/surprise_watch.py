# SPDX-License-Identifier: Apache-2.0
"""Compares the futures that a policy node predicts with what its cameras then show.

Callbacks store; a thread of its own, after those of chunks, computes. Nothing waits for it.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ...execution.surprise.alarm import SHORTEN, Alarm
from ...execution.surprise.due_pictures import DuePictures, PictureKeeper
from ...execution.surprise.played_rows import PlayedRows
from ...model.interface import ActionChunk, Observation, Policy, Prediction, Surprise
from ...msg import CommanderStatus
from ...ros.messages import surprise_message, to_ns
from ...ros.worker_thread import LAST, Worker
from .surprise_params import SurpriseParams


class Clip(Protocol):
    """One prediction that is being compared, see `model.surprise.meter`."""

    def add(
        self, pictures: Any, stamp: int, played: ActionChunk | None = None
    ) -> Surprise | None: ...


class Meter(Protocol):
    """What compares, see `model.surprise.meter`."""

    piece: int

    def begin(self, observation: Observation, prediction: Prediction) -> Clip: ...

    def forget(self) -> None: ...


class SurpriseWatch:
    """See the module.

    convert: from a view and its message to a picture; publish: for messages; failed: for what goes
    wrong.
    """

    def __init__(
        self,
        policy: Policy,
        meter: Meter,
        params: SurpriseParams,
        convert: Callable[[str, Any], np.ndarray],
        publish: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        embodiment = policy.embodiment
        self._meter, self._convert, self._publish = meter, convert, publish
        self._reaction, self.alarm = params.surprise, Alarm(params.alarm())
        self._begun = 0  # stamp of what an alarm began with, until it is taken
        self._keeper = PictureKeeper(embodiment.views, embodiment.step, meter.piece)
        self._played = PlayedRows()
        self._clips: dict[int, tuple[Clip, str]] = {}
        self._due: collections.deque[DuePictures] = collections.deque()
        self._lock = threading.Lock()  # of all that is above
        self._episode = 0
        self._worker: Worker[bool] = Worker("surprise", self._compare, failed, LAST)

    def close(self) -> None:
        """End the thread."""
        self._worker.close()

    def forget(self) -> None:
        """A new episode."""
        with self._lock:
            self._episode += 1
            self._meter.forget()
            self._keeper.clear()
            self._played.clear()
            self._clips.clear()
            self._due.clear()
            self.alarm.forget()
            self._begun = 0

    def take_alarm(self) -> int:
        """The stamp (ns) of what an alarm has begun with since this was asked; 0: none has."""
        begun, self._begun = self._begun, 0
        return begun

    @property
    def shortens(self) -> bool:
        """Whether chunks are to be replaced earlier now."""
        return self._reaction == SHORTEN and self.alarm.rings

    # -- what happens

    def expect(self, stamp: int) -> None:
        """An inference begins that answers what was captured at `stamp` (ns)."""
        with self._lock:
            self._keeper.expect(stamp)

    def predicted(self, number: int, observation: Observation, prediction: Prediction) -> None:
        """Its chunk was published under this number."""
        with self._lock:
            self._keeper.predicted(number, prediction)
            self._clips[number] = (
                self._meter.begin(observation, prediction),
                observation.instruction,
            )
            for old in sorted(self._clips)[:-3]:
                del self._clips[old]

    def playing(self, status: CommanderStatus) -> None:
        """The commander says what it plays: a dry run moves nothing."""
        plays = status.armed and status.mode == CommanderStatus.PLAYING
        number = status.chunk if plays else 0
        with self._lock:
            self._keeper.playing(number, to_ns(status.chunk_stamp), to_ns(status.header.stamp))

    def commanded(self, stamp: int, row: np.ndarray) -> None:
        """Set points of a moment (ns), float64 in a chunk's columns."""
        with self._lock:
            self._played.add(stamp, row)

    def picture(self, view: str, stamp: int, message: Any) -> None:
        """A camera's picture has come."""
        with self._lock:
            self._keeper.add(view, stamp, message)
            due = self._keeper.take()
            self._due += due
        if due:
            self._worker.submit(True)

    # -- in the thread of the watch

    def _compare(self, _: bool) -> None:
        while True:
            with self._lock:
                if not self._due:
                    return
                due, episode = self._due.popleft(), self._episode
                clip = self._clips.get(due.number)
                last, chunk = due.moments[-1], due.prediction.chunk
                played = self._played.of(chunk, due.base, last) if due.index else None
            if clip is None:  # too old: the thread is late
                continue
            pictures = [self._pictures(views) for views in due.pictures]
            surprise = clip[0].add(pictures, last, played)
            if surprise and episode == self._episode:
                self._tell(due.number, clip[1], surprise)

    def _pictures(self, views: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {view: self._convert(view, message) for view, message in views.items()}

    def _tell(self, number: int, instruction: str, surprise: Surprise) -> None:
        if self.alarm.look(surprise.value):
            self._begun = surprise.stamp
        self._publish(
            surprise_message(
                surprise,
                number=number,
                instruction=instruction,
                alarm=self.alarm.rings,
                reaction=self._reaction,
            )
        )
