# SPDX-License-Identifier: Apache-2.0
"""Which pictures a predicted future is compared with, and when they have all come.

Pure; times are passed in, ns on the clock of the camera stamps. A picture is whatever its owner
keeps of it.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import Any

from ...model.interface import Prediction

MOST_PICTURES = 60  # of one view: a bound on memory
WAITING = 2  # predictions that are kept at most: that which is played, and the one that is to come


@dataclasses.dataclass(frozen=True, slots=True)
class DuePictures:
    """Pictures of the moments that one more latent of a prediction is about.

    index: of the latent, 0 is the observed moment; moments: ns; pictures: of each, by view. base:
    the stamp that the rows of the prediction's chunk count from as it was played, ns.
    """

    number: int
    prediction: Prediction
    base: int
    index: int
    moments: tuple[int, ...]
    pictures: tuple[dict[str, Any], ...]


@dataclasses.dataclass(slots=True)
class _Clip:
    """A prediction, and how far it has been compared."""

    number: int
    prediction: Prediction
    base: int  # the stamp that its rows count from
    index: int = 0  # of the latent that is next
    played: bool = False
    until: int | None = None  # another one was played from then on, or none


class PictureKeeper:
    """Keeps the pictures that are or may become due. One thread at a time.

    step: ns between two moments; piece: moments of each latent after the first, which has one.
    """

    def __init__(self, views: Sequence[str], step: int, piece: int) -> None:
        self._views, self._step, self._piece = tuple(views), step, piece
        self.clear()

    def clear(self) -> None:
        """A new episode: nothing was seen or predicted."""
        self._stamps: dict[str, list[int]] = {view: [] for view in self._views}
        self._pictures: dict[str, list[Any]] = {view: [] for view in self._views}
        self._clips: list[_Clip] = []
        self._expected: int | None = None

    def expect(self, stamp: int) -> None:
        """What was captured at `stamp` is being answered: pictures since then may become due."""
        self._expected = stamp

    def predicted(self, number: int, prediction: Prediction) -> None:
        """The answer has come."""
        self._clips.append(_Clip(number, prediction, prediction.chunk.stamp))
        del self._clips[:-WAITING]

    def playing(self, number: int, base: int, now: int) -> None:
        """The chunk of this number is played, its rows count from `base`; 0: none is."""
        for clip in self._clips:
            if clip.number == number and clip.until is None:
                if not clip.played or (clip.base != base and not clip.index):
                    clip.played, clip.base = True, base
            elif clip.played and clip.until is None:
                clip.until = now
        self._clips = [clip for clip in self._clips if clip.number >= number or clip.played]

    def add(self, view: str, stamp: int, picture: Any) -> None:
        """A picture has come; one that is not newer than those before is left out."""
        stamps, pictures = self._stamps[view], self._pictures[view]
        if stamps and stamp <= stamps[-1]:
            return
        stamps.append(stamp)
        pictures.append(picture)
        self._drop_useless(view)

    def take(self) -> list[DuePictures]:
        """What can be compared now, each once; of a prediction in the order of its latents."""
        found = []
        for clip in self._clips:
            while clip.played and (due := self._next(clip)):
                found.append(due)
                clip.index += 1
        self._clips = [clip for clip in self._clips if not self._is_over(clip)]
        return found

    def _moments(self, clip: _Clip) -> range:
        """The rows of the next latent."""
        first = 1 + (clip.index - 1) * self._piece
        return range(first, first + self._piece) if clip.index else range(1)

    def _next(self, clip: _Clip) -> DuePictures | None:
        """The next pictures of a prediction; None if they are not all there."""
        if self._is_over(clip):
            return None
        sets = []
        for row in self._moments(clip):
            moment, views = clip.base + row * self._step, {}
            for view in self._views:
                nearest = self._nearest(view, moment)
                if nearest is None:
                    return None
                if abs(self._stamps[view][nearest] - moment) > self._step:
                    clip.until = 0  # a gap: the latents after it would be of another clip
                    return None
                views[view] = self._pictures[view][nearest]
            sets.append(views)
        moments = tuple(clip.base + row * self._step for row in self._moments(clip))
        return DuePictures(
            clip.number, clip.prediction, clip.base, clip.index, moments, tuple(sets)
        )

    def _nearest(self, view: str, moment: int) -> int | None:
        """Index of the picture nearest to a moment; None while a nearer one may come."""
        stamps = self._stamps[view]
        after = bisect.bisect_left(stamps, moment)
        if after == len(stamps):
            return None
        before = max(0, after - 1)
        return min(before, after, key=lambda index: abs(stamps[index] - moment))

    def _is_over(self, clip: _Clip) -> bool:
        """Whether nothing more of a prediction counts: the rest of it was not played."""
        rows, moments = len(clip.prediction.chunk.values), self._moments(clip)
        last = clip.base + moments[-1] * self._step
        return moments[-1] > rows or (clip.until is not None and last > clip.until)

    def _drop_useless(self, view: str) -> None:
        """Forget the pictures before whatever may become due."""
        needed = [clip.base + (self._moments(clip)[0] - 1) * self._step for clip in self._clips]
        if self._expected is not None:
            needed.append(self._expected - self._step)
        stamps, pictures = self._stamps[view], self._pictures[view]
        oldest = min(needed) if needed else stamps[-1]
        count = max(bisect.bisect_left(stamps, oldest), len(stamps) - MOST_PICTURES)
        del stamps[:count], pictures[:count]
