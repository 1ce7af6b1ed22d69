# SPDX-License-Identifier: Apache-2.0
"""Joint states of several publishers merged per joint, each joint with its own stamp.

Pure; stamps and times are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..model.interface import NS

MOST_OTHERS = 64  # names of other devices that are remembered, for words only


class JointStates:
    """The newest position of each of `joints`, from whichever message has it.

    Not thread-safe: used from one executor thread.
    """

    def __init__(self, joints: Sequence[str]) -> None:
        self.joints = tuple(joints)
        self._column = {joint: column for column, joint in enumerate(self.joints)}
        self._others: dict[str, None] = {}  # names heard that are not ours, in order
        self.forget()

    def forget(self) -> None:
        """Nothing is known about any joint."""
        self._positions = np.full(len(self.joints), np.nan)
        self._stamps: list[int | None] = [None] * len(self.joints)

    def update(
        self, names: Sequence[str], positions: Sequence[float], stamp: int
    ) -> tuple[str, ...]:
        """Take the positions of one message; the joints that it brought up to date.

        stamp: the moment of the positions, ns. A message without positions (velocities or efforts
        only) or without any of the joints says nothing; a joint whose stamp does not grow keeps its
        value. ValueError says what is wrong with a message about the joints; none of it is taken.
        """
        if not len(positions):
            return ()
        known = [(self._column[name], at) for at, name in enumerate(names) if name in self._column]
        if len(known) < len(names):
            self._remember_others(names)
        if not known:
            return ()
        if len(names) != len(positions):
            raise ValueError(f"joint state has {len(names)} names but {len(positions)} positions")
        if len({column for column, _ in known}) < len(known):
            ours = [names[at] for _, at in known]
            twice = sorted({name for name in ours if ours.count(name) > 1})
            raise ValueError(f"joint state names {twice} more than once")
        if wrong := [names[at] for _, at in known if not math.isfinite(positions[at])]:
            raise ValueError(f"joint state of {wrong} is not finite")
        updated = []
        for column, at in known:
            before = self._stamps[column]
            if before is None or stamp > before:
                self._positions[column], self._stamps[column] = positions[at], stamp
                updated.append(self.joints[column])
        return tuple(updated)

    @property
    def positions(self) -> np.ndarray:
        """Position of each joint, float64 [joints]; NaN where none was heard yet."""
        return self._positions.copy()

    @property
    def missing(self) -> tuple[str, ...]:
        """The joints that no message had yet."""
        pairs = zip(self.joints, self._stamps, strict=True)
        return tuple(joint for joint, stamp in pairs if stamp is None)

    @property
    def others(self) -> tuple[str, ...]:
        """Names that were heard and are not among the joints."""
        return tuple(self._others)

    @property
    def stamp(self) -> int | None:
        """Stamp of the joint that was heard longest ago (ns); None if one was never heard."""
        known = [stamp for stamp in self._stamps if stamp is not None]
        return min(known) if known and len(known) == len(self.joints) else None

    def ages(self, now: int) -> dict[str, float]:
        """Seconds at `now` (ns) since the stamp of each joint; infinity if it was never heard."""
        return {
            joint: math.inf if stamp is None else (now - stamp) / NS
            for joint, stamp in zip(self.joints, self._stamps, strict=True)
        }

    def fault(self, now: int, max_age: int) -> str:
        """Which joints are not known at `now` (ns), and why; empty if all are.

        max_age: how old a joint may be, ns.
        """
        if missing := self.missing:
            heard = f"; heard instead: {list(self.others)}" if self._others else ""
            if len(missing) == len(self.joints) and not heard:
                return "no joint states yet"
            return f"joint states lack {list(missing)}{heard}"
        ages = self.ages(now)
        limit = f"limit {max_age / NS:.2f} s"
        # one that is ahead would look fresh for longer than it is
        if old := [joint for joint, age in ages.items() if abs(age) * NS > max_age]:
            worst = max((ages[joint] for joint in old), key=abs)
            where = f"{worst:.2f} s old" if worst > 0 else f"{-worst:.2f} s in the future"
            which = f" of {old}" if len(old) < len(self.joints) else ""
            return f"joint states{which} are {where}, {limit}"
        return ""

    def _remember_others(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._column and len(self._others) < MOST_OTHERS:
                self._others[name] = None
