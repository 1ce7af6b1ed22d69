# SPDX-License-Identifier: Apache-2.0
"""Open, closed or in between, by the continuous gripper column of a policy. Time is passed in."""

from __future__ import annotations

from collections.abc import Mapping


class Gripper:
    """A two-state gripper with hysteresis and a shortest time between two changes.

    opened, closed: its two positions (rad or m); dwell: that shortest time, ns. proportional: it
    takes every position between them as it is wanted, at any time.
    """

    def __init__(
        self, opened: float, closed: float, dwell: int, proportional: bool = False
    ) -> None:
        self._positions, self._dwell = (opened, closed), dwell
        self._proportional = proportional
        self.forget()

    def forget(self) -> None:
        """The gripper may be anywhere: the next decision is free."""
        self._closed: bool | None = None
        self._changed = 0
        self._between: float | None = None  # of a proportional one

    def decide(self, wanted: float | None, now: int) -> float | None:
        """The position to take at `now` (ns); None as long as nothing was ever wanted."""
        if self._proportional:
            if wanted is not None:
                self._between = min(max(wanted, min(self._positions)), max(self._positions))
            return self._between
        if wanted is not None:
            opened, closed = self._positions
            share = (wanted - opened) / (closed - opened)
            closing = share > (0.5 if self._closed is None else 0.4 if self._closed else 0.6)
            if self._closed is None or (
                closing != self._closed and now >= self._changed + self._dwell
            ):
                self._closed, self._changed = closing, now
        return None if self._closed is None else self._positions[self._closed]


class Grippers:
    """The grippers of a robot, by their joints."""

    def __init__(self, grippers: Mapping[str, Gripper]) -> None:
        self._grippers = dict(grippers)

    def forget(self) -> None:
        """They may be anywhere."""
        for gripper in self._grippers.values():
            gripper.forget()

    def decide(self, wanted: Mapping[str, float], now: int) -> dict[str, float]:
        """The position that each is to take at `now` (ns), without those nothing is known about.

        wanted: what the policy wants of them now, as far as it wants anything.
        """
        decided = {
            joint: gripper.decide(wanted.get(joint), now)
            for joint, gripper in self._grippers.items()
        }
        return {joint: position for joint, position in decided.items() if position is not None}
