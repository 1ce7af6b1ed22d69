# SPDX-License-Identifier: Apache-2.0
"""The measured arm, and why it must not be moved. Pure; time is passed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.interface import NS
from ..robot.joint_map import JointMap


class ArmMonitor:
    """The measured joints and how much they can be trusted.

    max_age: of the joint states, ns; max_error: between set point and measurement, rad or m.
    """

    def __init__(self, joints: tuple[str, ...], max_age: int, max_error: float) -> None:
        self._map, self._max_age, self._max_error = JointMap(joints), max_age, max_error
        self.forget()

    def forget(self) -> None:
        """Nothing is known about the arm."""
        self.measured: np.ndarray | None = None
        self.stamp, self._fault = 0, ""

    def update(
        self, names: Sequence[str], positions: Sequence[float], stamp: int, now: int
    ) -> bool:
        """Take a joint state; stamp: that of its header (ns), 0 if it has none.

        True if the clock jumped back by more than a second.

        Joint states of other devices (none of the arm's joints) do not count. A repeated stamp is a
        frozen stream.
        """
        if not set(names) & set(self._map.joints):
            return False
        try:
            measured = self._map.state(names, positions).astype(np.float64)
        except ValueError as error:
            self._fault = str(error)
            return False
        stamp = stamp or now
        if stamp < self.stamp - NS:
            self.forget()
            return True
        if stamp > self.stamp:
            self.measured, self.stamp, self._fault = measured, stamp, ""
        return False

    def fault(self, now: int) -> str:
        """Why the position of the arm is not known now; empty if it is."""
        if self._fault:
            return self._fault
        if self.measured is None:
            return "no joint states yet"
        age = now - self.stamp
        # from a clock that is ahead, a stream that ended would look fresh for longer
        if abs(age) > self._max_age:
            where = "old" if age > 0 else "in the future"
            limit = f"limit {self._max_age / NS:.2f} s"
            return f"joint states are {abs(age) / NS:.2f} s {where}, {limit}"
        return ""

    def is_at(self, position: np.ndarray, within: float) -> bool:
        """Whether every joint was measured this close to `position`."""
        return self.measured is not None and bool((np.abs(self.measured - position) < within).all())

    def tracking_fault(self, position: np.ndarray) -> str:
        """Which joint is too far from the set point `position`; empty if none is."""
        if self.measured is None:
            return ""
        error = np.abs(self.measured - position)
        joint = int(error.argmax())
        if error[joint] <= self._max_error:
            return ""
        limit = f"limit {self._max_error:.3f}"
        return f"{self._map.joints[joint]} is {error[joint]:.3f} from its set point, {limit}"
