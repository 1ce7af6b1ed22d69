# SPDX-License-Identifier: Apache-2.0
"""Whether a goal or an instruction is over: the arm holds then, and its chunks are not played.

Pure; times are passed in, ns.
"""

from __future__ import annotations

from ...model.interface import NS

SILENCE = NS // 2  # a task server that says nothing for so long is gone
LATE = NS // 2  # of a goal that is over: what is captured later answers somebody else
ENDED = "the task is over"
SILENT = "the task server is silent"
SURPRISED = "the policy was surprised"


class GoalWatch:
    """Hears the task server. Without one, whatever comes is played."""

    def __init__(self) -> None:
        self._active, self._instruction = False, ""
        self._heard_at = 0  # steady clock
        self._over: str | None = None  # the instruction whose chunks are not played
        self._over_until: int | None = None  # captured until then; None: for ever
        self._surprised_at = -1  # the policy dropped its instruction because of what it saw then

    def hear(self, active: bool, instruction: str, now: int, steady: int) -> str:
        """Take a message of the task server. Why the arm must hold now; empty: it need not."""
        ends = self._active and not active
        if active:
            self._instruction, self._heard_at = instruction.strip(), steady
            if self._over_until is None:
                self._over = None  # it is back
        self._active = active
        if ends:
            self._over, self._over_until = self._instruction, now + LATE
        return ENDED if ends else ""

    def silence(self, steady: int) -> str:
        """Why the arm must hold now: the task server has a goal and is gone; empty: it is there."""
        if not self._active or steady - self._heard_at <= SILENCE:
            return ""
        self._active, self._over, self._over_until = False, self._instruction, None
        return SILENT

    def refusal(self, instruction: str, captured: int, steady: int) -> str:
        """Why a chunk is not played: it belongs to a goal that is over; empty if it does not."""
        self.silence(steady)
        if captured <= self._surprised_at:
            return f"captured before {SURPRISED}"
        if self._over is None or instruction.strip() != self._over:
            return ""
        if self._over_until is None:
            return f"{SILENT}: its chunks are not played until armed again, or a new goal"
        return f"captured before {ENDED}" if captured < self._over_until else ""

    def surprise(self, stamp: int) -> None:
        """The policy has dropped its instruction because of what was captured at `stamp` (ns)."""
        self._surprised_at = stamp

    def forget(self) -> None:
        """Somebody armed the arm: what is over does not matter any more."""
        self._over, self._surprised_at = None, -1
