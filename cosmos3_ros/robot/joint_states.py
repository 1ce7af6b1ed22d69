# SPDX-License-Identifier: Apache-2.0
"""Joint states of several publishers merged per joint, each joint with its own stamp.

Pure; stamps and times are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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

        stamp: the moment of the positions, ns. See `read` and `take`.
        """
        return self.take(self.read(names, positions), stamp)

    def read(self, names: Sequence[str], positions: Sequence[float]) -> dict[str, float]:
        """What a message says about the joints; nothing of it is taken yet.

        Empty without positions (velocities or efforts only) and without any of the joints.
        ValueError says what is wrong with a message about the joints.
        """
        if not len(positions):
            return {}
        known = [(name, at) for at, name in enumerate(names) if name in self._column]
        if len(known) < len(names):
            self._remember_others(names)
        if not known:
            return {}
        if len(names) != len(positions):
            raise ValueError(f"joint state has {len(names)} names but {len(positions)} positions")
        values = {name: positions[at] for name, at in known}
        if len(values) < len(known):
            ours = [name for name, _ in known]
            twice = [name for name in values if ours.count(name) > 1]
            raise ValueError(f"joint state names {twice} more than once")
        if wrong := [name for name, value in values.items() if not math.isfinite(value)]:
            raise ValueError(f"joint state of {wrong} is not finite")
        return values

    def take(self, values: Mapping[str, float], stamp: int) -> tuple[str, ...]:
        """Take what `read` gave; a joint whose stamp does not grow keeps its value."""
        updated = []
        for joint, value in values.items():
            column = self._column[joint]
            before = self._stamps[column]
            if before is None or stamp > before:
                self._positions[column], self._stamps[column] = value, stamp
                updated.append(joint)
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
        if why := self.lacks(now, max_age):
            return f"joint states {why}"
        if self.missing:
            return "no joint states yet"
        worst = max(self.ages(now).values(), key=abs)
        return f"joint states are {_how_old(worst, max_age)}" if abs(worst) * NS > max_age else ""

    def lacks(self, now: int, max_age: int) -> str:
        """What "joint states ..." are to be told of if only some of the joints are known."""
        if missing := self.missing:
            if len(missing) == len(self.joints) and not self._others:
                return ""
            heard = f"; heard instead: {list(self.others)}" if self._others else ""
            return f"lack {list(missing)}{heard}"
        ages = self.ages(now)
        # one that is ahead would look fresh for longer than it is
        old = [joint for joint, age in ages.items() if abs(age) * NS > max_age]
        if not old or len(old) == len(self.joints):
            return ""
        return f"of {old} are {_how_old(max((ages[joint] for joint in old), key=abs), max_age)}"

    def _remember_others(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._column and len(self._others) < MOST_OTHERS:
                self._others[name] = None


def _how_old(age: float, max_age: int) -> str:
    where = f"{age:.2f} s old" if age > 0 else f"{-age:.2f} s in the future"
    return f"{where}, limit {max_age / NS:.2f} s"
