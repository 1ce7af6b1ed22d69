# SPDX-License-Identifier: Apache-2.0
"""Plays chunks by time: the motion the arm and the position the gripper should follow now.

Pure; time is passed in.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..model.interface import NS, ActionChunk
from .spline_motion import Limits, Motion, brake, follow, rest

WAITING, PLAYING, HOLDING = "waiting", "playing", "holding"
STRATEGIES = ("replace", "crossfade", "rtc", "sync")
OVER = "the chunk is over and no newer one came"


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What may be chosen while running; rad or m where it is about joints.

    blend: rows in which `crossfade` goes over; watchdog: rows of a chunk to play if no newer one
    comes, 0: all; jump: how far the row that is due may be from the measured arm; clip: how far
    outside its range a row is moved to the limit instead of being refused; smooth: the arm's rows
    are smoothed, see `smoothed`, 0: as they come.
    """

    blend: int = 4
    watchdog: int = 0
    jump: float = 0.5
    clip: float = 0.05
    smooth: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A chunk that was accepted, its number, how it is played and since when (ns)."""

    chunk: ActionChunk
    number: int
    strategy: str
    since: int


class Player:
    """The chunk, the motion that follows it, and the reasons for not following one.

    joints: the arm's joints, in the order of `limits`; gripper: the joint that is commanded apart,
    or "".
    """

    def __init__(
        self, joints: tuple[str, ...], limits: Limits, gripper: str = "", rules: Rules | None = None
    ) -> None:
        self.joints, self.limits, self.gripper = joints, limits, gripper
        self.rules = rules or Rules()
        self.motion: Motion | None = None
        self.loaded: Loaded | None = None
        self.mode, self.reason = WAITING, "no joint states yet"
        self.played = self.rejected = self.limited = 0
        self.last_rejection = self.last_limit = ""

    def load(
        self,
        now: int,
        chunk: ActionChunk,
        number: int,
        strategy: str = "replace",
        measured: np.ndarray | None = None,
    ) -> bool:
        """Follow a new chunk from where the arm is commanded to be now.

        False: rejected whole, see last_rejection.

        strategy: how to go over from the chunk before, one of STRATEGIES; measured: where the arm
        is, float64 [N].
        """
        try:
            if self.motion is None:
                raise ValueError("no joint states yet")
            chunk = self._timed(chunk, now, strategy)
            arm = self._arm_columns(chunk)
            self._check_jump(arm, now, measured)
            arm, clipped = self._clipped(arm)
            motion = follow(arm, self.motion, now, self.limits)
        except ValueError as error:
            self.reject(number, str(error))
            return False
        self.motion, self.loaded = motion, Loaded(chunk, number, strategy, now)
        self.mode, self.reason = PLAYING, ""
        self.played += 1
        if motion.pace < 1 or clipped:
            self.limited += 1
            self.last_limit = (
                f"chunk {number}: {clipped or f'played at {motion.pace:.2f} of its speed'}"
            )
        return True

    def reject(self, number: int, why: str) -> None:
        """Count a chunk that is not played."""
        self.rejected += 1
        self.last_rejection = f"chunk {number}: {why}"

    def start_at(self, now: int, position: np.ndarray) -> None:
        """Nothing is being played: the next motion begins at this measured position."""
        self.motion = rest(position, now)

    def shift(self, by: int) -> None:
        """The clock was set by so many ns: what is under way goes on where it was."""
        if self.motion:
            self.motion = dataclasses.replace(self.motion, start=self.motion.start + by)

    def hold(self, now: int, reason: str) -> bool:
        """Brake and stay.

        True if that is a new motion (it must reach the controller), False if it holds already.
        """
        new = self.mode == PLAYING
        if new and self.motion is not None:
            self.motion = brake(self.motion, now, self.limits)
        if self.mode != WAITING or self.motion is not None:
            self.mode = HOLDING
        self.reason, self.loaded = reason, None
        return new

    def due(self, now: int) -> str:
        """Why playing must end now: the chunk is over, or as much of it as may be played alone.

        empty: it need not.
        """
        if self.mode != PLAYING or self.loaded is None or self.motion is None:
            return ""
        rows = self.rules.watchdog
        if rows and now > self.loaded.since + rows * self.loaded.chunk.step:
            return f"{rows} rows were played and no newer chunk came"
        return OVER if now > self.motion.end else ""

    def gripper_position(self, now: int) -> float | None:
        """Position (the robot's unit) the gripper is to take now.

        None if nothing is said about it.
        """
        if not self.gripper or self.loaded is None or self.motion is None:
            return None
        # Where the arm is on the chunk's own clock: a hand must not close before a slowed down arm
        # has arrived.
        place = self.loaded.since + round(self.motion.pace * (now - self.loaded.since))
        row = self.loaded.chunk.at(min(place, self.loaded.chunk.end))
        return None if row is None else float(row[self.loaded.chunk.names.index(self.gripper)])

    def remaining(self, now: int) -> float:
        """Seconds until the chunk being played is over."""
        return max(0.0, (self.motion.end - now) / NS) if self.loaded and self.motion else 0.0

    def _timed(self, chunk: ActionChunk, now: int, strategy: str) -> ActionChunk:
        """The chunk as it is to be played: when its rows are due, and what they are where two chunks meet."""
        wanted = self.joints + ((self.gripper,) if self.gripper else ())
        if set(chunk.names) != set(wanted):
            raise ValueError(f"joints {list(chunk.names)}, expected {list(wanted)}")
        if chunk.stamp > now + NS // 20:
            raise ValueError(f"captured {(chunk.stamp - now) / NS:.3f} s in the future")
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy {strategy!r}, expected one of {', '.join(STRATEGIES)}")
        if self.loaded and chunk.stamp < self.loaded.chunk.stamp:
            raise ValueError(
                f"{(self.loaded.chunk.stamp - chunk.stamp) / NS:.3f} s older than the chunk being played"
            )
        if strategy == "sync":  # the world waited: all rows are still to come
            return dataclasses.replace(chunk, stamp=now)
        if strategy == "crossfade" and self.loaded:
            return crossfade(self.loaded.chunk, chunk, now, self.rules.blend)
        return chunk

    def _arm_columns(self, chunk: ActionChunk) -> ActionChunk:
        values = chunk.values[:, [chunk.names.index(joint) for joint in self.joints]]
        values = smoothed(values, self.rules.smooth) if self.rules.smooth else values
        return dataclasses.replace(chunk, values=values, names=self.joints, discrete=())

    def _check_jump(self, arm: ActionChunk, now: int, measured: np.ndarray | None) -> None:
        row = arm.at(now)
        if row is None or measured is None:
            return
        far = np.abs(row - measured)
        if (far > self.rules.jump).any():
            joint = int(far.argmax())
            raise ValueError(
                f"{self.joints[joint]} would jump by {far[joint]:.3f}, limit {self.rules.jump:.3f}"
            )

    def _clipped(self, arm: ActionChunk) -> tuple[ActionChunk, str]:
        """The rows moved into the position range, and what was moved.

        ValueError if one is too far outside.
        """
        inside = np.clip(arm.values, self.limits.lower, self.limits.upper).astype(np.float32)
        far = np.abs(arm.values - inside).max(axis=0)
        if not far.any():
            return arm, ""
        joint = int(far.argmax())
        says = f"{self.joints[joint]} is {far[joint]:.3f} outside its range"
        if far[joint] > self.rules.clip:
            raise ValueError(f"{says}, limit {self.rules.clip:.3f}")
        return dataclasses.replace(arm, values=inside), says


def smoothed(values: np.ndarray, rows: float) -> np.ndarray:
    """Rows [H, D] without their jitter: what swings in `rows` rows is halved, slower remains, faster goes.

    Whittaker's smoother with second differences (Eilers, A Perfect Smoother, 2003): straight lines
    stay as they are.
    """
    bend = np.diff(np.eye(len(values)), 2, axis=0)
    smooth = np.eye(len(values)) + (rows / (2 * np.pi)) ** 4 * bend.T @ bend
    return np.linalg.solve(smooth, values.astype(np.float64)).astype(np.float32)


def crossfade(old: ActionChunk, new: ActionChunk, now: int, rows: int) -> ActionChunk:
    """`new`, its next `rows` rows mixed with what `old` has for the same moments.

    Discrete columns are never mixed.

    Rows that are past are those of `old`: the way begins where the old one was.
    """
    values = new.values.copy()
    moving = [column for column, name in enumerate(new.names) if name not in new.discrete]
    order = [old.names.index(new.names[column]) for column in moving]
    past = int((new.times() <= now).sum())
    for row, due in enumerate(new.times()[: past + rows]):
        before = old.at(int(due))
        if before is not None:
            share = max(0, row + 1 - past) / (rows + 1)
            values[row, moving] = (1 - share) * before[order] + share * new.values[row, moving]
    return dataclasses.replace(new, values=values)
