# SPDX-License-Identifier: Apache-2.0
"""Where set points go: the three kinds of arm controllers, and the gripper that is commanded apart."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from std_msgs.msg import Float64MultiArray

from ..execution.spline_motion import Motion
from . import topics
from .messages import command_message, trajectory_message

Advertise = Callable[[topics.Topic], Any]


class Sink(Protocol):
    """A controller of the arm; `output` is the publisher to it."""

    output: Any

    def begin(self, motion: Motion, now: int) -> None:
        """A new motion replaces the one before."""

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        """The set point of this moment, in every control period.

        gripper: where it is to be, if anything is known.
        """


class TrajectorySink:
    """A joint trajectory controller: the whole motion at once.

    The gripper has a topic of its own.
    """

    def __init__(self, advertise: Advertise, joints: tuple[str, ...], gripper: str) -> None:
        self.output, self._joints = advertise(topics.TRAJECTORY), joints
        self._gripper = OnChange(advertise(topics.GRIPPER))

    def begin(self, motion: Motion, now: int) -> None:
        self.output.publish(trajectory_message(motion, self._joints, now))
        self._gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        self._gripper.send(gripper)


class StreamSink:
    """A forward position controller: a stream of positions without names.

    The gripper has a topic of its own.
    """

    def __init__(self, advertise: Advertise, joints: tuple[str, ...], gripper: str) -> None:
        self.output = advertise(topics.POSITIONS)
        self._gripper = OnChange(advertise(topics.GRIPPER))

    def begin(self, motion: Motion, now: int) -> None:
        self._gripper.repeat()

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        self.output.publish(Float64MultiArray(data=array.array("d", position)))
        self._gripper.send(gripper)


class CommandSink:
    """Isaac Sim's joint command: positions by name, arm and gripper in one message."""

    def __init__(self, advertise: Advertise, joints: tuple[str, ...], gripper: str) -> None:
        self.output, self._joints, self._gripper = (
            advertise(topics.JOINT_COMMAND),
            list(joints),
            gripper,
        )

    def begin(self, motion: Motion, now: int) -> None: ...

    def point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        names, positions = self._joints, position.tolist()
        if gripper is not None:
            names, positions = [*names, self._gripper], [*positions, gripper]
        self.output.publish(command_message(names, positions, [], now))


SINKS: dict[str, Callable[[Advertise, tuple[str, ...], str], Sink]] = {
    "joint_trajectory": TrajectorySink,
    "position_stream": StreamSink,
    "joint_command": CommandSink,
}


class OnChange:
    """Publishes a position when it is another one than last time."""

    def __init__(self, output: Any) -> None:
        self._output, self._sent = output, float("nan")

    def send(self, position: float | None) -> None:
        if position is not None and position != self._sent:
            self._output.publish(Float64MultiArray(data=[position]))
            self._sent = position

    def repeat(self) -> None:
        """Publish the next position even if it is the same: the gripper may have been moved by others."""
        self._sent = float("nan")


class Gripper:
    """Open or closed, from what a policy says between the two: with hysteresis and `dwell` (ns) between changes."""

    def __init__(self, opened: float, closed: float, dwell: int) -> None:
        self._positions, self._dwell = (opened, closed), dwell
        self.forget()

    def forget(self) -> None:
        """It may be anywhere: the next decision is free."""
        self._closed: bool | None = None
        self._changed = 0

    def decide(self, wanted: float | None, now: int) -> float | None:
        """The position to take now; None as long as nothing was ever wanted."""
        if wanted is not None:
            opened, closed = self._positions
            share = (wanted - opened) / (closed - opened)
            closing = share > (0.5 if self._closed is None else 0.4 if self._closed else 0.6)
            if self._closed is None or (
                closing != self._closed and now >= self._changed + self._dwell
            ):
                self._closed, self._changed = closing, now
        return None if self._closed is None else self._positions[self._closed]
