# SPDX-License-Identifier: Apache-2.0
"""Whether a surprise is an alarm, and what may be done about one. Pure."""

from __future__ import annotations

import dataclasses

OFF, REPORT, REPLAN, SHORTEN, HOLD = "off", "report", "replan", "shorten", "hold"
REACTIONS = (OFF, REPORT, REPLAN, SHORTEN, HOLD)


@dataclasses.dataclass(frozen=True, slots=True)
class AlarmRules:
    """Settings of the alarm, which may change while it runs.

    threshold: a surprise of so much counts; persistence: so many in a row are an alarm.
    """

    threshold: float = 1.0
    persistence: int = 1


class Alarm:
    """Looks at one comparison after the other. value: of the last one, 0 before."""

    def __init__(self, rules: AlarmRules) -> None:
        self.rules = rules
        self.forget()

    def forget(self) -> None:
        """A new episode: nothing was compared."""
        self._row, self.value = 0, 0.0

    @property
    def rings(self) -> bool:
        """Whether it is an alarm; it stays one until a comparison does not count."""
        return self._row >= self.rules.persistence

    def look(self, value: float) -> bool:
        """Take the value of a comparison. Whether an alarm begins with it."""
        rang = self.rings
        self.value = value
        self._row = self._row + 1 if value >= self.rules.threshold else 0
        return self.rings and not rang
