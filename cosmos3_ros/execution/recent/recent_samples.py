# SPDX-License-Identifier: Apache-2.0
"""What cameras and joints showed in the last seconds, as samples one step of the model apart.

Pure: any payload, times are passed in. Used from one executor thread.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...model.interface import NS
from ...robot.joint_history import JointHistory
from ..observation_buffer import Sample
from .recent_pictures import RecentPictures

OFTEN = 2.0  # pictures that are kept for each step: a moment then has one that is near


class RecentSamples:
    """The last `seconds` of each view and of the state.

    step: of the model's rows (ns); max_age: how old (ns) the newest moment may be; max_skew: how
    far (ns) beside half a step a picture may be from its moment.
    """

    def __init__(
        self, views: Sequence[str], seconds: float, step: int, max_age: int, max_skew: int
    ) -> None:
        self._step, self._max_age, self._max_skew = step, max_age, max_skew
        span, rate = int(seconds * NS), OFTEN * NS / step
        self._rows = int(seconds * NS / step + 0.01)  # a step is rounded to ns
        # a step more than is asked for: the last moment is older than the newest picture
        kept = (span + step + 2 * max_skew) / NS
        self._pictures = {view: RecentPictures[Any](kept, rate) for view in views}
        self._states = JointHistory(span + step + max_age, max_skew)

    def clear(self) -> None:
        """Nothing was seen."""
        for pictures in self._pictures.values():
            pictures.clear()
        self._states.clear()

    def picture(self, view: str, stamp: int, payload: Any) -> None:
        """Take the picture of a view, captured at `stamp` (ns)."""
        self._pictures[view].add(stamp, payload)

    def state(self, stamp: int, row: np.ndarray) -> None:
        """Take positions of a moment, NaN for joints that are not told."""
        self._states.add(stamp, row)

    def rows(self, seconds: float, horizon: int) -> int:
        """How many rows are asked for; 0 s: as many as a chunk has and are kept.

        ValueError for more than that, or for none.
        """
        most = min(horizon, self._rows)
        rows = round(seconds * NS / self._step) if np.isfinite(seconds) else -1
        if seconds == 0:
            rows = most
        if not 1 <= rows <= most:
            raise ValueError(
                f"seconds: expected 0, or {self._step / NS:.3f} to {most * self._step / NS:.3f}, "
                f"got {seconds:g}"
            )
        return rows

    def last(self, rows: int, now: int) -> list[Sample]:
        """rows + 1 samples a step apart until what is newest, the stamp of each its moment.

        ValueError says what is missing; now: ns.
        """
        found = {view: pictures.last(1e6) for view, pictures in self._pictures.items()}
        ends = {view: shown[-1][0] for view, shown in found.items() if shown}
        if missing := sorted(found.keys() - ends.keys()):
            raise ValueError(f"{missing[0]}: no pictures received")
        if self._states.newest is None:
            raise ValueError("joint states: not of every joint was one received")
        end = min(*ends.values(), self._states.newest)
        if now - end > self._max_age:
            raise ValueError(
                f"what was seen is {(now - end) / NS:.2f} s old, limit {self._max_age / NS:.2f} s"
            )
        moments = [end - (rows - row) * self._step for row in range(rows + 1)]
        shown = {view: self._nearest(view, found[view], moments) for view in found}
        if (away := self._states.distance(moments[0])) > self._max_skew:
            raise ValueError(f"joint states: none within {away / NS:.2f} s of the first picture")
        return [
            Sample(
                {view: pictures[row] for view, pictures in shown.items()},
                self._states.at(moment)[()],
                moment,
                now,
            )
            for row, moment in enumerate(moments)
        ]

    def _nearest(
        self, view: str, shown: list[tuple[int, Any]], moments: Sequence[int]
    ) -> list[Any]:
        stamps, found = [stamp for stamp, _ in shown], []
        for moment in moments:
            after = bisect.bisect_left(stamps, moment)
            near = shown[max(0, after - 1) : after + 1]
            stamp, picture = min(near, key=lambda item: abs(item[0] - moment))
            if (away := abs(stamp - moment)) > self._step // 2 + self._max_skew:
                raise ValueError(
                    f"{view}: no picture of {(moments[-1] - moment) / NS:.2f} s ago, the nearest "
                    f"is {away / NS:.2f} s away"
                )
            found.append(picture)
        return found
