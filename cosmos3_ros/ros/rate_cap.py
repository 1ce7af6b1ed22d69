# SPDX-License-Identifier: Apache-2.0
"""Not to be woken for every message of a stream that is faster than needed."""

from __future__ import annotations

import time
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

RATE = 200.0  # messages a second that are taken
BURST = 10.0  # and so many more after a pause


class RateCap(MutuallyExclusiveCallbackGroup):
    """A callback group for one subscription that keeps the newest messages.

    Above the rate the executor does not wait for messages until a timer lets it look again: a node
    that uses it needs one. Streams of several publishers are thinned together. rate: messages a
    second that are taken.
    """

    def __init__(self, rate: float = RATE) -> None:
        super().__init__()
        self._rate = rate
        self._left, self._refilled = BURST, time.monotonic()

    def can_execute(self, entity: Any) -> bool:
        now = time.monotonic()
        self._left = min(BURST, self._left + self._rate * (now - self._refilled))
        self._refilled = now
        return self._left >= 1.0 and bool(super().can_execute(entity))

    def beginning_execution(self, entity: Any) -> bool:
        begins = bool(super().beginning_execution(entity))
        self._left -= begins
        return begins
