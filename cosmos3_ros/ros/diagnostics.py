# SPDX-License-Identifier: Apache-2.0
"""Faults of a node, logged once when they begin and once when they end, and /diagnostics."""

from __future__ import annotations

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


def diagnostics(
    stamp: int, name: str, level: str, message: str, values: Mapping[str, Any], hardware: str = ""
) -> DiagnosticArray:
    """A message for /diagnostics with one status; level: a key of LEVELS, stamp in ns."""
    status = DiagnosticStatus(level=LEVELS[level], name=name, message=message, hardware_id=hardware)
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(header=header(stamp), status=[status])
