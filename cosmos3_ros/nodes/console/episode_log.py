# SPDX-License-Identifier: Apache-2.0
"""The table of a simulation's episodes, for pages that are opened later, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 100  # episodes that are kept


class EpisodeLog:
    """Counts what came of each episode since the console started."""

    def __init__(self) -> None:
        self._over: list[dict[str, Any]] = []
        self._running: dict[str, Any] | None = None

    def add_chunk(self) -> None:
        """The policy has sent a chunk."""
        if self._running and self._running["outcome"] == "running":
            self._running["chunks"] += 1

    def add_status(self, status: Mapping[str, Any]) -> bool:
        """What the simulation says, as `page_values.SIMULATION`; whether an episode has begun.

        The time of one that is solved is when that was.
        """
        now = self._running
        # one that was started anew counts from 1 again
        begins = (
            now is None
            or any(now[name] != status[name] for name in ("episode", "task", "seed"))
            or status["elapsed"] < now["elapsed"]
        )
        if begins:
            if now is not None:
                over = {"running": "not solved"}
                self._over.append(now | {"outcome": over.get(now["outcome"], now["outcome"])})
                del self._over[:-MOST]
            now = self._running = {"chunks": 0, "outcome": "running", "elapsed": 0.0}
        assert now is not None
        if now["outcome"] == "running":
            outcome = "solved" if status["success"] else "running"
            kept = {name: status[name] for name in ("episode", "task", "seed")}
            now |= kept | {"elapsed": status["elapsed"], "outcome": outcome}
        return begins

    @property
    def over(self) -> list[dict[str, Any]]:
        """The episodes that another one has followed, the newest last."""
        return [*self._over]

    @property
    def running(self) -> dict[str, Any] | None:
        """The newest episode."""
        return None if self._running is None else {**self._running}
