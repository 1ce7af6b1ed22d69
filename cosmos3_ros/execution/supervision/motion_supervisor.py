# SPDX-License-Identifier: Apache-2.0
"""Leads the arm along the player's motion, and back to where it is if it does not follow.

Pure; time is passed in, ns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ...model.interface import ActionChunk
from ..chunk_player import PLAYING, ChunkPlayer
from ..spline_motion import SplineMotion, rest
from .arm_monitor import ArmMonitor
from .tracking_monitor import Path, TrackingMonitor

RETURNING = "returning to where the arm was measured, for it did not follow"


class Controller(Protocol):
    """What moves the arm, or all arms of a robot together."""

    @property
    def streams(self) -> bool:
        """Whether it knows only the last set point, not the whole motion."""

    def path(self, now: int) -> Path | None:
        """Where the last motion leads an arm that may not have been at its begin.

        None: along the motion itself.
        """

    def way(self, now: int) -> np.ndarray | None:
        """Positions [K, N] along which the last motion may lead the arm, wherever it was.

        None: those of the motion itself.
        """

    def is_bridging(self, now: int) -> bool:
        """Whether it is not on the last motion yet."""

    def begin(self, motion: SplineMotion, now: int) -> None:
        """A new motion replaces the one before."""

    def point(
        self, position: np.ndarray, velocity: np.ndarray, grippers: Mapping[str, float], now: int
    ) -> None:
        """The set point of `now` (ns), in every control period.

        grippers: the position that each is to take, without those nothing is known about.
        """


class MotionSupervisor:
    """The one way from the player's motion to the controller.

    A motion begins at the set point while the arm follows, and at the measured arm otherwise. What
    goes to the controller is noted, and compared with where the arm is measured.
    """

    def __init__(self, player: ChunkPlayer, monitor: ArmMonitor, tracking: TrackingMonitor) -> None:
        self._player, self._monitor, self._tracking = player, monitor, tracking
        self._controller: Controller
        self._is_armed = self._is_sending = False
        self._disagrees = False  # the arm moved away from where it was measured; until armed again
        self._braked_at = 0  # the end of braking after disarming
        # where the arm was when set points began to rest that no controller follows
        self._rested: np.ndarray | None = None
        self._led = False  # a controller followed them until they rested

    def connect(self, controller: Controller) -> None:
        """Set points go to this controller while armed."""
        self._controller = controller

    @property
    def is_armed(self) -> bool:
        """Whether motions go to the controller."""
        return self._is_armed

    @property
    def is_disputed(self) -> bool:
        """Whether joint states and controller disagree: where the arm is is not known."""
        return self._disagrees

    @property
    def is_sending(self) -> bool:
        """Whether a motion has gone to the controller since the arm was armed."""
        return self._is_sending

    def arm(self, armed: bool, now: int) -> None:
        """Begin or end to send: a motion under way is braked and sent to its end."""
        if self._is_armed and not armed and self._player.motion:
            self._braked_at, self._led = self._player.motion.end, self._is_sending
        # as until now: a dry run has sent nothing, not even the way back to an arm
        unsent = not self._controller.streams and self._player.is_returning(now)
        self._is_sending = self.drives_arm(now) and not (armed and unsent)
        self._is_armed = armed
        self._disagrees &= not armed

    def end(self) -> None:
        """Nothing goes to the controller any more."""
        self._is_sending = False

    def drives_arm(self, now: int) -> bool:
        """Whether the controller follows the motion: it was sent, and is armed or still braking."""
        return self._is_sending and (self._is_armed or now < self._braked_at)

    def shift(self, by: int) -> None:
        """The clock was set by `by` ns: a motion under way goes on where it was."""
        self._player.shift(by)
        self._tracking.shift(by)
        self._braked_at += by

    def record(self, now: int) -> None:
        """Note where the controller was led until now, and where the arm is."""
        if self._monitor.measured is not None:
            self._tracking.measure(self._monitor.measured, self._monitor.stamp)
        if self._player.motion and self.drives_arm(now) and not self._player.is_returning(now):
            self._tracking.record(self._controller.path(now) or self._player.motion, now)

    def away(self) -> tuple[np.ndarray, bool] | None:
        """Where the arm is measured [N], and whether it stands, if its controller may not follow.

        None if it does.
        """
        measured = self._monitor.measured
        if measured is None or not self._tracking.may_be_away():
            return None
        return measured, self._tracking.is_standing()

    def fault(self, now: int) -> str:
        """Why the arm does not follow its set points; empty if it does, or if it gets none.

        Asked only while its position is known.
        """
        follows = self.drives_arm(now) and not self._player.is_returning(now)
        return self._tracking.fault() if follows else ""

    def was_moved(self, now: int) -> bool:
        """Whether an arm that should rest was moved, and stands somewhere else.

        Asked only while its position is known.
        """
        rests = self._player.is_resting(now)
        return rests and bool(self.fault(now)) and self._tracking.is_standing()

    def rest_at_arm(self, now: int) -> None:
        """Rest where an arm is that was moved, by hand or by a reset, while nothing led it."""
        measured = self._monitor.measured
        rests = self._player.is_resting(now) and not self.drives_arm(now)
        if not rests or measured is None or self._monitor.fault(now):
            self._rested = None
            return
        if self._rested is None:
            # set points that led the arm ended where it was; those of a dry run, anywhere
            ended = self._player.motion.at(now)[0] if self._player.motion and self._led else None
            self._rested, self._led = measured.copy() if ended is None else ended, False
        if self._tracking.is_far(measured, self._rested):
            self._player.start_at(now, measured)
            self._rested = measured.copy()

    def take_hold(self, now: int) -> None:
        """Once armed, lead a controller of trajectories to where the arm is measured.

        Its own set point may be elsewhere, after a reset or a hand-guided move: a chunk can only
        be followed from where it is known to be. A stream of set points has nothing to begin from,
        and an arm that still moves is on its way to somewhere.
        """
        measured = self._monitor.measured
        if measured is None or not self._takes_hold():
            return
        self._player.start_at(now, measured)
        self._player.hold(now, self._player.reason)
        self._tracking.begin(restart=True)
        self.send(now)

    def is_bridging(self, now: int) -> bool:
        """Whether the controller is not on the last motion yet: the next chunk waits for that.

        Nor is one that is still to be led to the arm.
        """
        bridges = self.drives_arm(now) and self._controller.is_bridging(now)
        return bridges or self._takes_hold()

    def _takes_hold(self) -> bool:
        """Whether a controller of trajectories is still to be led to an arm that stands."""
        if self._monitor.measured is None or not self._is_armed or self._is_sending:
            return False
        return not self._controller.streams and self._tracking.is_standing()

    def load(self, now: int, chunk: ActionChunk, number: int, strategy: str) -> bool:
        """Plan to follow a new chunk; `send` is due then. False: the player rejected it.

        ValueError says why no motion may begin now.
        """
        restart, measured = self._must_restart(now), self._monitor.measured
        if not self._player.load(now, chunk, number, strategy, measured, restart):
            return False
        self._tracking.begin(restart)
        return True

    def send(self, now: int) -> None:
        """The player's motion goes to the controller, if the arm is armed."""
        if self._is_armed and self._player.motion:
            if not self._is_sending:
                self._tracking.forget()
            self._controller.begin(self._player.motion, now)
            self._is_sending = True

    def hold(self, now: int, reason: str) -> None:
        """Brake and stay; where the arm is, if it has not followed."""
        if self._deviation(now):
            if not self._player.is_returning(now):
                self._return_to_arm(now, reason)
        elif self._player.hold(now, reason):
            self.send(now)

    def point(
        self, position: np.ndarray, velocity: np.ndarray, grippers: Mapping[str, float], now: int
    ) -> None:
        """Send the set point of `now` if the controller follows the motion."""
        if self.drives_arm(now):
            self._controller.point(position, velocity, grippers, now)

    def return_fault(self, now: int) -> str:
        """Why the motion back to the measured arm must end; empty if it need not."""
        return self._tracking.return_fault(now) if self._is_armed else ""

    def brake_return(self, now: int) -> None:
        """Brake on the way back: what is measured is not what the controller moves."""
        self._disagrees = True
        if self._player.stop_returning(now):
            self.send(now)

    def watches_return(self, now: int) -> bool:
        """Whether a motion leads back to the measured arm, or just did."""
        return self._is_armed and self._tracking.watches_return(now)

    def forget(self) -> None:
        """Nothing is known about the arm's tracking."""
        self._tracking.forget()

    def _deviation(self, now: int) -> str:
        """Which joint is too far from its set points for a motion to begin at the set point.

        Empty if none is, or if the position of the arm is not known.
        """
        if self._disagrees or not self.drives_arm(now) or self._monitor.fault(now):
            return ""
        self.record(now)
        return self._tracking.reason_to_restart()

    def _must_restart(self, now: int) -> bool:
        """Whether the next motion must begin at the measured arm instead of the set point."""
        if not self.drives_arm(now):
            return self._player.mode != PLAYING
        if self._player.is_returning(now):
            raise ValueError(RETURNING)
        deviation = self._deviation(now)
        begins = self._may_step(now) if self._controller.streams else self._tracking.is_standing()
        if deviation and not begins:
            self._return_to_arm(now, deviation)
            raise ValueError(deviation)
        return bool(deviation)

    def _may_step(self, now: int) -> bool:
        """Whether streamed set points may go to the arm at once: it has just stopped there.

        A controller that streams set points makes the arm jump to them when it comes back. But what
        is measured where no arm can have got to by itself may be wrong.
        """
        stands = self._tracking.is_standing() and self._tracking.has_just_stopped()
        return stands and not self._monitor.is_suspect(now)

    def _return_to_arm(self, now: int, reason: str) -> None:
        """Hold where the arm is, for it has not followed.

        Never a braking motion: it would begin at a set point that the arm is not at.
        """
        player, measured = self._player, self._monitor.measured
        if measured is None or player.motion is None:
            return
        begin = player.motion.at(now)[0]
        at_once = self._controller.streams and self._may_step(now)
        player.return_to(now, measured, reason, at_once)
        end = player.motion.points[-1]  # within the limits, where the arm may not be
        if self._is_armed:
            # a controller of trajectories goes there from wherever its own set point is
            self._controller.begin(rest(end, player.motion.end), now)
        way = self._controller.way(now) if self._is_armed else None
        if way is None:
            way = player.motion.knots(now)[1]
        self._tracking.begin_return(np.vstack([begin, way, end]), player.motion.end)
