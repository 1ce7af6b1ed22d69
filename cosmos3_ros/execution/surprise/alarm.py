# SPDX-License-Identifier: Apache-2.0
"""Whether a surprise is an alarm, and what is done about it. Pure."""

from __future__ import annotations

import dataclasses

NONE, REPLAN, SHORTEN, HOLD = "none", "replan", "shorten", "hold"
REACTIONS = (NONE, REPLAN, SHORTEN, HOLD)


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmRules:
    """Settings of the alarm.

    threshold: a surprise of so much counts; persistence: so many in a row are an alarm.
    """

    threshold: float = 1.0
    persistence: int = 1


class Alarm:
    """Looks at one comparison after the other."""

    def __init__(self, rules: AlarmRules) -> None:
        self.rules = rules
        self._row = 0

    def forget(self) -> None:
        """A new episode."""
        self._row = 0

    def look(self, value: float) -> bool:
        """Whether this comparison makes it an alarm; it stays one until one does not count."""
        self._row = self._row + 1 if value >= self.rules.threshold else 0
        return self._row >= self.rules.persistence
