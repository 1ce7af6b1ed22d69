# SPDX-License-Identifier: Apache-2.0
"""Sensor messages aligned by capture stamp, never interpolated.

Pure: any payload, time is passed in.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from ..model.interface import NS

STATE = "joint states"


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One set of payloads that belong together."""

    images: dict[str, Any]  # by view
    state: Any
    stamp: int  # of the oldest image, ns
    received: int  # when the last image arrived, ns


class ObservationBuffer:
    """Keeps the last few messages of each view and of the state; `sample` aligns them.

    max_age: how old (ns) the sample may be; max_skew: how far apart (ns) its parts may be.
    Not thread-safe: used from one executor thread.
    """

    def __init__(self, views: Sequence[str], max_age: int, max_skew: int, depth: int = 16) -> None:
        self.views, self.max_age, self.max_skew = tuple(views), max_age, max_skew
        self._streams: dict[str, collections.deque[tuple[int, int, Any]]] = {
            name: collections.deque(maxlen=depth * (4 if name == STATE else 1))
            for name in (*self.views, STATE)
        }
        self._heard: dict[str, int] = {}  # when the last message of each stream came, new or not

    def add(self, stream: str, stamp: int, received: int, payload: Any) -> bool:
        """Store one message of a view or of STATE.

        True if the stamp jumped far back: everything older was dropped.
        """
        messages = self._streams[stream]
        jumped = bool(messages) and stamp < messages[-1][0] - NS
        if jumped:
            self.clear()
        # a repeated stamp is a frozen stream: its age must grow
        if not messages or stamp > messages[-1][0]:
            messages.append((stamp, received, payload))
        self._heard[stream] = received
        return jumped

    def clear(self) -> None:
        """Forget everything (new episode, clock jump)."""
        for messages in self._streams.values():
            messages.clear()
        self._heard.clear()

    def ages(self, now: int) -> dict[str, float]:
        """Seconds since the newest stamp of each stream; infinity if nothing came yet."""
        return {
            name: (now - m[-1][0]) / NS if m else float("inf") for name, m in self._streams.items()
        }

    def rates(self) -> dict[str, float]:
        """Messages per second of each stream, from its stored stamps; 0 with fewer than two."""
        spans = {
            name: (len(m) - 1, m[-1][0] - m[0][0])
            for name, m in self._streams.items()
            if len(m) > 1
        }
        return {
            name: spans[name][0] * NS / spans[name][1] if name in spans else 0.0
            for name in self._streams
        }

    def faults(self, now: int) -> dict[str, str]:
        """Which streams cannot be used now, and why."""
        found = {}
        for name, age in self.ages(now).items():
            if age == float("inf"):
                found[name] = "nothing received"
            elif abs(age) * NS > self.max_age:
                frozen = self._heard[name] > self._streams[name][-1][1]
                old = f"{age:.2f} s old" if age > 0 else f"{-age:.2f} s in the future"
                repeated = "the same stamp again and again, " * frozen
                found[name] = f"{repeated}{old}, limit {self.max_age / NS:.2f} s"
        return found

    def sample(self, now: int) -> Sample | str:
        """The newest moment that every stream has a message of, or why there is none."""
        if faults := self.faults(now):
            return "; ".join(f"{name}: {why}" for name, why in faults.items())
        moment = min(self._streams[view][-1][0] for view in self.views)
        chosen = {
            name: min(m, key=lambda item: abs(item[0] - moment))
            for name, m in self._streams.items()
        }
        for name, (stamp, _, _) in chosen.items():
            if abs(stamp - moment) > self.max_skew:
                skew, limit = abs(stamp - moment) / NS, self.max_skew / NS
                return f"{name}: {skew:.3f} s apart from the other streams, limit {limit:.3f} s"
        images = {view: chosen[view][2] for view in self.views}
        received = max(chosen[view][1] for view in self.views)
        return Sample(
            images, chosen[STATE][2], min(chosen[view][0] for view in self.views), received
        )
