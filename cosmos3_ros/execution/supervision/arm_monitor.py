# SPDX-License-Identifier: Apache-2.0
"""The measured arm, and why it must not be moved. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...model.interface import NS
from ...robot.joint_plausibility import contradiction, differences
from ...robot.joint_states import JointStates
from ..spline_motion import Limits
from ..stamp_judge import AHEAD, StampJudge

LASTS = NS // 10  # a wrong message is a fault for so long, whatever comes between
SETTLING = NS // 2  # joint states that have contradicted each other are not believed for so long
MOVED = 0.02  # rad or m: a joint that is measured this far away has moved
SUSPECT = 10 * NS  # with several publishers: for so long the arm is not armed


class ArmMonitor:
    """The measured joints and how much they can be trusted.

    limits: of the joints; max_age: of the joint states, ns; ahead: how far a stamp may be ahead of
    the reception of its message, ns.
    """

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, max_age: int, ahead: int = AHEAD
    ) -> None:
        self._limits, self._max_age = limits, max_age
        self._states, self._judge = JointStates(joints), StampJudge(max_age, ahead)
        self.publishers: tuple[str, ...] = ()  # nodes that publish joint states, where known
        self.note = ""  # worth a line in the log, of the last message
        self._last: np.ndarray | None = None  # the last `measured`, also of what was forgotten
        self.forget()

    def forget(self) -> None:
        """Nothing is known about the arm."""
        self._states.forget()
        # float64 [N], rad or m; continuous joints go on beyond a turn
        self.measured: np.ndarray | None = None
        self._measured_at = 0  # when it was heard
        self._wrong, self._wrong_at = "", 0  # the last message that could not be used
        self._contradiction, self.contradicted_at = "", 0
        self._changed_at = 0  # when joints that were not heard of for too long were elsewhere
        joints = len(self._states.joints)
        # what was heard last, of whichever publisher
        self._heard, self._heard_at = np.full(joints, np.nan), np.zeros(joints)
        self._received_at = np.zeros(joints)  # on the steady clock, where it is known

    @property
    def stamp(self) -> int:
        """The stamp (ns) of the joint that was measured longest ago; 0 without one."""
        return self._states.stamp or 0

    def update(
        self,
        names: Sequence[str],
        positions: Sequence[float],
        stamp: int,
        now: int,
        steady: int | None = None,
    ) -> bool:
        """Take a joint state; stamp: that of its header (ns), 0 if it has none.

        True if the clock jumped back by more than a second.

        steady: now on a clock (ns) that nobody sets; None where time is simulated.

        Joint states of other devices (none of the arm's joints), or without positions, do not
        count. A repeated stamp is a frozen stream.
        """
        if not len(positions) or not set(names) & set(self._states.joints):
            return False
        verdict = self._judge.judge(stamp, now)
        self.note = verdict.note
        if verdict.jumped:
            self.forget()
            return True
        try:
            if verdict.fault:
                raise ValueError(f"joint states: {verdict.fault}")
            updated = self._states.update(names, positions, verdict.stamp)
        except ValueError as error:
            self._wrong, self._wrong_at = str(error), now
            return False
        self._compare(dict(zip(names, positions, strict=True)), verdict.stamp, now, steady)
        if updated and not self._states.missing and not self._is_settling(now):
            self._measure(now)
        return False

    def fault(self, now: int) -> str:
        """Why the position of the arm is not known now; empty if it is."""
        if self._is_settling(now):
            return self._contradiction + self._sources()
        if self._wrong and now - self._wrong_at < LASTS:
            return self._wrong
        if fault := self._states.fault(now, self._max_age):
            # with stamps that cannot be used: why not
            return self._wrong if self.stamp <= self._wrong_at and self._wrong else fault
        # when they have settled, the next one is needed: `measured` is from before
        is_new = self._measured_at >= self.contradicted_at
        return "" if is_new else self._contradiction + self._sources()

    def is_suspect(self, now: int) -> bool:
        """Whether not long ago joint states contradicted each other, or were gone and then others.

        A driver that begins anew may have another zero.
        """
        last = max(self.contradicted_at, self._changed_at)
        return bool(last) and now - last < SUSPECT

    def why_not_arm(self, now: int) -> str:
        """Why an arm whose position is known must not be armed yet; empty if it may be."""
        if self.contradicted_at and now - self.contradicted_at < SUSPECT and self._sources():
            since = (now - self.contradicted_at) / NS
            return f"{self._contradiction}, {since:.1f} s ago{self._sources()}"
        return ""

    def _compare(self, values: dict[str, float], stamp: int, now: int, steady: int | None) -> None:
        """Note joints that cannot have moved as this message and the one before it say."""
        joints = self._states.joints
        new = np.array([values.get(joint, np.nan) for joint in joints])
        change = np.nan_to_num(differences(self._heard, new, self._limits.continuous))
        seconds = np.where(self._heard_at > 0, (stamp - self._heard_at) / NS, 0.0)
        if steady is not None:  # a clock that was set forward has given no joint time to move
            most = (steady - self._received_at + self._max_age) / NS
            seconds = np.minimum(np.abs(seconds), most)
        words = contradiction(joints, change, seconds, self._limits.velocity)
        if ((seconds * NS > self._max_age) & (np.abs(change) > MOVED)).any():
            self._changed_at = now
        heard = np.isfinite(new)
        self._heard[heard], self._heard_at[heard] = new[heard], stamp
        self._received_at[heard] = steady or 0
        if words:
            self._contradiction, self.contradicted_at = words, now

    def _is_settling(self, now: int) -> bool:
        return bool(self.contradicted_at) and abs(now - self.contradicted_at) < SETTLING

    def _sources(self) -> str:
        if len(self.publishers) < 2:
            return ""
        return f"; {len(self.publishers)} publishers: {', '.join(self.publishers)}"

    def _measure(self, now: int) -> None:
        new, self._measured_at = self._states.positions, now
        if self._last is not None:
            # also after `forget`: set points go on in the same turn
            around = self._last + differences(self._last, new, self._limits.continuous)
            new = np.where(self._limits.continuous, around, new)
        self.measured = self._last = new
