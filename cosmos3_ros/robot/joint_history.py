# SPDX-License-Identifier: Apache-2.0
"""Where the joints were at a moment of the last second, each joint by stamps of its own.

Pure; times are passed in.
"""

from __future__ import annotations

import bisect
import math

import numpy as np

FINEST = 2000  # as many moments are kept of each joint; what comes closer replaces the one before


class _Track:
    """The past of one joint."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.values: list[float] = []

    def add(self, stamp: int, value: float, kept: int) -> None:
        stamps, values = self.stamps, self.values
        if stamps and stamp <= stamps[-1]:
            return
        if len(stamps) > 1 and stamp - stamps[-2] < kept // FINEST:
            stamps[-1], values[-1] = stamp, value
            return
        stamps.append(stamp)
        values.append(value)
        if len(stamps) % 64 == 0 and (past := bisect.bisect_left(stamps, stamp - kept) - 1) > 0:
            del stamps[:past], values[:past]

    def at(self, moment: int, longest: int) -> tuple[float, int]:
        """Value at `moment`, and how far from it (ns) it was measured: 0 between two stamps."""
        stamps, values = self.stamps, self.values
        after = bisect.bisect_left(stamps, moment)
        if after == len(stamps):
            return values[-1], moment - stamps[-1]
        if after == 0:
            return values[0], stamps[0] - moment
        before = after - 1
        gap, late = stamps[after] - stamps[before], moment - stamps[before]
        wraps = abs(abs(values[after] - values[before]) - 2 * math.pi) < 1
        if gap <= longest and not wraps:
            share = late / gap
            return (1 - share) * values[before] + share * values[after], 0
        if late < gap - late:
            return values[before], late
        return values[after], gap - late


class JointHistory:
    """Rows of joint positions by stamp, interpolated linearly; a row may lack some joints.

    kept: how far back (ns) from the newest stamp of a joint moments may be asked for. longest: the
    longest time (ns) between two stamps that is interpolated; in a longer one, and where an angle
    wraps, the nearer value counts. All rows have the same shape.
    """

    def __init__(self, kept: int, longest: int) -> None:
        self._kept, self._longest = kept, longest
        self.clear()

    def clear(self) -> None:
        """Nothing is known."""
        self._tracks: list[_Track] = []
        self._shape: tuple[int, ...] = ()

    def add(self, stamp: int, row: np.ndarray) -> None:
        """Positions of a moment, NaN for joints that are not told."""
        if not self._tracks:
            self._shape = row.shape
            self._tracks = [_Track() for _ in range(row.size)]
        for track, value in zip(self._tracks, row.ravel().tolist(), strict=True):
            if not math.isnan(value):
                track.add(stamp, value, self._kept)

    @property
    def newest(self) -> int | None:
        """Stamp (ns) until which every joint is known; None if one was never told."""
        stamps = [track.stamps[-1] for track in self._tracks if track.stamps]
        return min(stamps) if stamps and len(stamps) == len(self._tracks) else None

    def distance(self, moment: int) -> int:
        """How far (ns) from `moment` the worst known joint was measured; 0 if all are between.

        Only once every joint is known.
        """
        return max(track.at(moment, self._longest)[1] for track in self._tracks)

    def at(self, moment: int) -> np.ndarray:
        """Positions at `moment` (ns), float64; at its ends the history is held, not extended.

        Only once every joint is known.
        """
        values = [track.at(moment, self._longest)[0] for track in self._tracks]
        return np.array(values).reshape(self._shape)
