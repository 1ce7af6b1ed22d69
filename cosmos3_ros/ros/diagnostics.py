# SPDX-License-Identifier: Apache-2.0
"""What is wrong now, said once when it begins and once when it is over.

And how long things took lately.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from .messages import header

LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "error": DiagnosticStatus.ERROR}


class Faults:
    """The faults of one node by name. `logger` has warning() and info()."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.now: dict[str, str] = {}

    def set(self, what: str, why: str) -> bool:
        """`what` is wrong because of `why`, or good again if `why` is empty.

        True if that is news.
        """
        before = self.now.get(what, "")
        if why:
            self.now[what] = why
        else:
            self.now.pop(what, None)
        if why and not before:
            self._logger.warning(f"{what}: {why}")
        elif before and not why:
            self._logger.info(f"{what}: good again")
        return bool(why) != bool(before)


class Window:
    """The last durations (s) of something."""

    def __init__(self, size: int = 100) -> None:
        self._last: collections.deque[float] = collections.deque(maxlen=size)

    def add(self, seconds: float) -> None:
        self._last.append(seconds)

    def quantile(self, share: float) -> float:
        """The smallest duration that at least `share` of them do not exceed.

        0 if there are none yet.
        """
        ordered = sorted(self._last)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0

    def table(self, name: str) -> dict[str, str]:
        """p50, p95 and max under names for /diagnostics; empty if there are none yet."""
        if not self._last:
            return {}
        return {
            f"{name} {title} [s]": f"{self.quantile(q):.4f}"
            for title, q in (("p50", 0.5), ("p95", 0.95), ("max", 1))
        }


def diagnostics(
    stamp: int, name: str, level: str, message: str, values: Mapping[str, Any], hardware: str = ""
) -> DiagnosticArray:
    """One status for /diagnostics. level: one of LEVELS."""
    status = DiagnosticStatus(level=LEVELS[level], name=name, message=message, hardware_id=hardware)
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(header=header(stamp), status=[status])
