# SPDX-License-Identifier: Apache-2.0
"""Whether the stamp of a message can be believed: the one rule of all nodes, and its words.

Pure; times are passed in, all of them ns of the node's own clock.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime

from ..model.interface import NS

AHEAD = NS // 50  # what two synchronized clocks may differ by
AHEAD_SIMULATED = NS // 10  # a message may come before the tick of /clock that it belongs to
EPOCH = 365 * 86400 * NS  # stamps further away than this count from another beginning
TURNS = 10 * NS  # stamps that went back twice within this time are of two clocks


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with one message."""

    stamp: int  # ns, to use if there is no fault
    fault: str = ""  # why the message cannot be used
    note: str = ""  # worth a line in the log, though it can be used; said once per stream
    jumped: bool = False  # the clock went back: whatever was received before is to be forgotten
    repeated: bool = False  # the same stamp as that of the message before: nothing new


class StampJudge:
    """Judges the stamps of one stream, message by message.

    max_age: how old a stamp may be when its message is received, ns. ahead: how far it may be
    ahead of that moment, ns. jump: a stamp that goes back by more than this (ns) is of a clock that
    was set back, or of another clock.
    """

    def __init__(self, max_age: int, ahead: int = AHEAD, jump: int = NS) -> None:
        self._max_age, self._ahead, self._jump = max_age, ahead, jump
        self._turns: collections.deque[tuple[int, int]] = collections.deque(maxlen=2)
        self._is_noted = False
        self.forget()

    def forget(self) -> None:
        """The next message is the first one."""
        self._stamp: int | None = None  # of the last message, used or not
        self._usable: int | None = None  # of the last one that was
        self._received: int | None = None

    def judge(self, stamp: int, received: int) -> Verdict:
        """The verdict on a message; stamp: of its header (0: it has none), received: when it came.

        A message without a stamp is taken as of its reception.
        """
        note, used = "", stamp
        if stamp == 0:
            note = "" if self._is_noted else "no stamp in the header: taken as of its reception"
            used, self._is_noted = received, True
        jumped = self._received is not None and received < self._received - self._jump
        if jumped:  # the node's own clock
            self.forget()
            self._turns.clear()
        back = 0 if self._stamp is None else self._stamp - used
        repeated = back == 0 and self._stamp is not None
        self._stamp, self._received = used, received
        if back > self._jump:
            self._turns.append((received, back))
        fault = self._two_clocks(received) or self._implausible(used, received)
        back = 0 if self._usable is None else self._usable - used
        if fault and repeated:
            fault = f"the same stamp again and again, {fault}"
        elif fault and self._jump < back < EPOCH:
            fault = f"the clock jumped back by {back / NS:.2f} s: {fault}"
        elif not fault:
            jumped |= back > self._jump
            self._usable = used
        return Verdict(used, fault, note, jumped, repeated)

    def _two_clocks(self, received: int) -> str:
        """One clock is set back once; a second one makes the stamps go back again and again."""
        if len(self._turns) < 2 or received - self._turns[0][0] > TURNS:
            return ""
        back = max(back for _, back in self._turns) / NS
        return f"two clocks on one topic: the stamps go back and forth by {back:.2f} s"

    def _implausible(self, stamp: int, received: int) -> str:
        """Why a message of this stamp cannot have been received then; empty if it can."""
        age = received - stamp
        if abs(age) > EPOCH:
            return (
                f"stamped {_date(stamp)} and received {_date(received)}, another epoch: "
                "is the driver's clock set / use_sim_time?"
            )
        if stamp < 0:
            return f"stamped {stamp / NS:.2f} s, before its clock began"
        if -age > self._ahead:
            if received == 0:
                return "the node's clock has not begun: use_sim_time, but no /clock yet"
            return f"stamped {-age / NS:.2f} s ahead of its reception: the clocks differ"
        if age > self._max_age:
            return f"{age / NS:.2f} s old when it was received, limit {self._max_age / NS:.2f} s"
        return ""


def _date(stamp: int) -> str:
    """The stamp as a date of the Unix epoch; its seconds where there is no such date."""
    try:
        return f"{datetime.datetime.fromtimestamp(stamp // NS, datetime.UTC):%Y-%m-%d}"
    except (OverflowError, ValueError, OSError):
        return f"{stamp / NS:.0f} s"
