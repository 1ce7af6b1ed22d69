# SPDX-License-Identifier: Apache-2.0
"""Plays chunks by time: the motion the arm and the position the gripper should follow now. Pure; time is passed in."""

from __future__ import annotations

import dataclasses

import numpy as np

from .model.interface import NS, ActionChunk
from .motion import Limits, Motion, brake, follow, rest

WAITING, PLAYING, HOLDING = "waiting", "playing", "holding"


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A chunk that was accepted, and its number."""

    chunk: ActionChunk
    number: int


class Player:
    """The chunk, the motion that follows it, and the reasons for not following one.

    joints: the arm's joints, in the order of `limits`; gripper: the joint that is commanded apart, or "".
    """

    def __init__(self, joints: tuple[str, ...], limits: Limits, gripper: str = "") -> None:
        self.joints, self.limits, self.gripper = joints, limits, gripper
        self.motion: Motion | None = None
        self.loaded: Loaded | None = None
        self.mode, self.reason = WAITING, "no joint states yet"
        self.played = self.rejected = self.limited = 0
        self.last_rejection = ""

    def load(self, now: int, chunk: ActionChunk, number: int) -> bool:
        """Follow a new chunk from where the arm is commanded to be now. False: rejected whole, see last_rejection."""
        try:
            if self.motion is None:
                raise ValueError("no joint states yet")
            arm = self._arm_columns(chunk, now)
            motion = follow(arm, *self.motion.at(now), now, self.limits)
        except ValueError as error:
            self.rejected += 1
            self.last_rejection = f"chunk {number}: {error}"
            return False
        self.motion, self.loaded = motion, Loaded(chunk, number)
        self.mode, self.reason = PLAYING, ""
        self.played += 1
        self.limited += motion.limited
        return True

    def start_at(self, now: int, position: np.ndarray) -> None:
        """Nothing is being played: the next motion begins at this measured position."""
        self.motion = rest(position, now)

    def hold(self, now: int, reason: str) -> bool:
        """Brake and stay. True if that is a new motion (it must reach the controller), False if it holds already."""
        new = self.mode == PLAYING
        if new and self.motion is not None:
            self.motion = brake(*self.motion.at(now), now, self.limits)
        if self.mode != WAITING or self.motion is not None:
            self.mode = HOLDING
        self.reason, self.loaded = reason, None
        return new

    def tick(self, now: int) -> bool:
        """Advance; True if playing has just ended because the chunk was over."""
        if self.mode == PLAYING and self.loaded is not None and now > self.loaded.chunk.end:
            self.mode, self.reason = HOLDING, "the chunk is over and no newer one came"
            return True
        return False

    def gripper_position(self, now: int) -> float | None:
        """Position (the robot's unit) the gripper is to take now; None if nothing is said about it."""
        if not self.gripper or self.loaded is None:
            return None
        row = self.loaded.chunk.at(now)
        return None if row is None else float(row[self.loaded.chunk.names.index(self.gripper)])

    def remaining(self, now: int) -> float:
        """Seconds until the last row of the chunk being played."""
        return max(0.0, (self.loaded.chunk.end - now) / NS) if self.loaded else 0.0

    def _arm_columns(self, chunk: ActionChunk, now: int) -> ActionChunk:
        wanted = self.joints + ((self.gripper,) if self.gripper else ())
        if set(chunk.names) != set(wanted):
            raise ValueError(f"joints {list(chunk.names)}, expected {list(wanted)}")
        if chunk.stamp > now + NS // 20:
            raise ValueError(f"captured {(chunk.stamp - now) / NS:.3f} s in the future")
        if self.loaded and chunk.stamp < self.loaded.chunk.stamp:
            raise ValueError(f"{(self.loaded.chunk.stamp - chunk.stamp) / NS:.3f} s older than the chunk being played")
        columns = [chunk.names.index(joint) for joint in self.joints]
        return dataclasses.replace(chunk, values=chunk.values[:, columns], names=self.joints, discrete=())
