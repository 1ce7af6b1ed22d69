# SPDX-License-Identifier: Apache-2.0
"""How long something that is due has not happened.

Pure: time is passed in, of a clock that nobody sets.
"""

from __future__ import annotations

import dataclasses

from ..model.interface import NS


@dataclasses.dataclass(slots=True)
class Progress:
    """A count that is expected to change, and since when it has not (ns)."""

    count: int = -1
    since: int = 0

    def stands(self, count: int, now: int, due: bool) -> float:
        """Seconds since it last changed or was not due."""
        if count != self.count or not due:
            self.count, self.since = count, now
        return (now - self.since) / NS
