# SPDX-License-Identifier: Apache-2.0
"""Plays chunks by time: the motion the arm and the positions the grippers should follow now.

Pure; time is passed in.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from ..model.interface import NS, ActionChunk
from ..robot.joint_plausibility import differences
from .spline_motion import Limits, SplineMotion, brake, follow, rest, return_to
from .strategies import DEFAULT, Strategy, find_strategy
from .workspace import ToolLimits

WAITING, PLAYING, HOLDING = "waiting", "playing", "holding"
ROUNDING = 1e-6  # rows this far outside the position range are at the limit, rad or m
OVER = "the chunk is over and no newer one came"
# of a chunk: to plan a longer one would keep the commander from hearing a stop
MOST_ROWS, LONGEST = 1000, 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class PlaybackRules:
    """Settings of the player that may change while it runs; joints in rad or m."""

    blend: int = 4  # rows over which the strategy crossfade mixes two chunks
    watchdog: int = 0  # rows of a chunk to play if no newer chunk comes; 0: all
    # how far the row that is due may be from the measured arm, beyond what the chunk went itself
    jump: float = 0.5
    clip: float = 0.05  # how far outside its range a row is clipped instead of refused
    smooth: float = 0.0  # period in rows that `smoothed` halves in the arm's columns; 0: none


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedChunk:
    """A chunk that was accepted, as it is played."""

    chunk: ActionChunk
    number: int
    strategy: Strategy
    since: int  # when it was loaded, ns
    captured: int  # stamp of the observation it answers, ns; played from rest it begins later


class ChunkPlayer:
    """The chunk being played, the motion that follows it, and why a chunk is not followed.

    joints: those of all arms, in the order of `limits`; grippers: the joints that are commanded
    apart; tool: what the arm's tool keeps to, None: nothing; velocities: columns of a mobile base.
    """

    def __init__(
        self,
        joints: tuple[str, ...],
        limits: Limits,
        grippers: tuple[str, ...] = (),
        rules: PlaybackRules | None = None,
        tool: ToolLimits | None = None,
        velocities: tuple[str, ...] = (),
    ) -> None:
        self._tool, self._velocities = tool, velocities
        self.joints, self.limits, self.grippers = joints, limits, grippers
        # of rows, which are float32: a limit that is rounded must not lie outside
        self._range = _rounded(limits.lower, np.inf), _rounded(limits.upper, -np.inf)
        self.rules = rules or PlaybackRules()
        self.motion: SplineMotion | None = None
        self.loaded: LoadedChunk | None = None
        self._returns_until = 0  # when the motion back to the measured arm is over, ns
        self.mode, self.reason = WAITING, "no joint states yet"
        # superseded: sound, and a newer one came before they could be followed
        self.played = self.rejected = self.limited = self.superseded = 0
        self.last_rejection = self.last_limit = ""

    def load(
        self,
        now: int,
        chunk: ActionChunk,
        number: int,
        strategy: str = DEFAULT,
        measured: np.ndarray | None = None,
        restart: bool = False,
    ) -> bool:
        """Follow a new chunk from where the arm is commanded to be now.

        False: the whole chunk was rejected, see last_rejection; the motion stays what it was.

        strategy: a name in STRATEGIES; measured: position of the arm, float64 [N]; restart: begin
        there, at rest, and not at the set point.
        """
        try:
            begin = rest(measured, now) if restart and measured is not None else self.motion
            if begin is None:
                raise ValueError("no joint states yet")
            self._check_names_and_stamp(chunk, now)
            how, captured = find_strategy(strategy), chunk.stamp
            if self.loaded and captured < self.loaded.captured:
                age = (self.loaded.captured - captured) / NS
                raise ValueError(f"{age:.3f} s older than the chunk being played")
            chunk = self._unwrapped(chunk, begin.at(now)[0])
            if not how.pauses_between_chunks and self.is_resting(now):
                chunk = _from_first_row(chunk, now)
            chunk = how.blend(
                chunk, self.loaded.chunk if self.loaded else None, now, self.rules.blend
            )
            arm = self._arm_columns(chunk)
            self._check_jump(arm, now, measured)
            arm, clipped = self._clipped(arm)
            motion = follow(arm, begin, now, self.limits)
            if self._tool:
                again = functools.partial(self._slower, arm, begin, now, motion.pace)
                motion = self._tool.kept(motion, now, again)
        except ValueError as error:
            self.reject(number, str(error))
            return False
        self.motion, self.loaded = motion, LoadedChunk(chunk, number, how, now, captured)
        self.mode, self.reason = PLAYING, ""
        self.played += 1
        if motion.pace < 1 or clipped:
            self.limited += 1
            limit = clipped or f"played at {motion.pace:.2f} of its speed"
            self.last_limit = f"chunk {number}: {limit}"
        return True

    def _slower(
        self, arm: ActionChunk, begin: SplineMotion, now: int, pace: float, share: float
    ) -> SplineMotion:
        """The motion along a chunk at a share of this pace, its accelerations so much less."""
        return follow(arm, begin, now, self.limits.eased(share), pace * share)

    def reject(self, number: int, why: str) -> None:
        """Count a chunk that is not played."""
        self.rejected += 1
        self.last_rejection = f"chunk {number}: {why}"

    def start_at(self, now: int, position: np.ndarray) -> None:
        """The arm rests at this measured position: the next motion begins there."""
        self.motion, self._returns_until = rest(position, now), 0

    def shift(self, by: int) -> None:
        """The clock was set by `by` ns: a motion under way goes on where it was."""
        if self.motion:
            self.motion = dataclasses.replace(self.motion, start=self.motion.start + by)
            self._returns_until += by

    def hold(self, now: int, reason: str) -> bool:
        """Brake and stay.

        True if that is a new motion (the controller must get it), False if the arm holds already.
        """
        new = self.mode == PLAYING
        if new and self.motion is not None:
            self.motion = brake(self.motion, now, self.limits)
        if self.mode != WAITING or self.motion is not None:
            self.mode = HOLDING
        self.reason, self.loaded = reason, None
        return new

    def return_to(self, now: int, position: np.ndarray, reason: str, at_once: bool) -> None:
        """Hold at this measured position: move the set points there, within the limits.

        at_once: the arm stands there, and set points that brake first would go on away from it.
        """
        if self.motion is not None:
            back = return_to(self.motion, now, position, self.limits)
            self.motion = rest(back.points[-1], now) if at_once else back
            self._returns_until = self.motion.end
        self.mode, self.reason, self.loaded = HOLDING, reason, None

    def stop_returning(self, now: int) -> bool:
        """Brake on the way back. True if that is a new motion."""
        if self.motion is None or not self.is_returning(now):
            return False
        self.motion, self._returns_until = brake(self.motion, now, self.limits), 0
        return True

    def is_returning(self, now: int) -> bool:
        """Whether the set points are on their way back to the measured arm."""
        return self.mode == HOLDING and now < self._returns_until

    def is_resting(self, now: int) -> bool:
        """Whether nothing is played and the set points stand still."""
        return self.mode != PLAYING and (self.motion is None or now >= self.motion.end)

    def end_reason(self, now: int) -> str:
        """Why playing must end now: the chunk is over, or its share that may be played alone.

        Empty if playing goes on.
        """
        if self.mode != PLAYING or self.loaded is None or self.motion is None:
            return ""
        rows = self.rules.watchdog
        if rows and now > self.loaded.since + rows * self.loaded.chunk.step:
            return f"{rows} rows were played and no newer chunk came"
        return OVER if now > self.motion.end else ""

    def gripper_positions(self, now: int) -> dict[str, float]:
        """Position (the robot's unit) that the chunk wants of each gripper now.

        Empty without a chunk.
        """
        return self._wanted(self.grippers, now, stays=True)

    def base_velocities(self, now: int) -> dict[str, float]:
        """Velocity that the chunk wants of the base now, by column; empty: none, after its end."""
        pace = self.motion.pace if self.motion else 1.0  # as far as the chunk says, in more time
        wanted = self._wanted(self._velocities, now, stays=False)
        return {name: pace * value for name, value in wanted.items()}

    def _wanted(self, names: tuple[str, ...], now: int, stays: bool) -> dict[str, float]:
        """What the chunk says of columns that are no joints of the arm.

        stays: the last row holds on after the end.
        """
        if not names or self.loaded is None or self.motion is None:
            return {}
        # They follow the arm on the chunk's own clock: grippers must not close before an arm that
        # was slowed down has arrived.
        due = self.loaded.since + round(self.motion.pace * (now - self.loaded.since))
        chunk = self.loaded.chunk
        row = chunk.at(min(due, chunk.end) if stays else due)
        if row is None:
            return {}
        return {name: float(row[chunk.names.index(name)]) for name in names}

    def remaining(self, now: int) -> float:
        """Seconds until the chunk being played is over."""
        return max(0.0, (self.motion.end - now) / NS) if self.loaded and self.motion else 0.0

    def _check_names_and_stamp(self, chunk: ActionChunk, now: int) -> None:
        expected = self.joints + self.grippers + self._velocities
        if set(chunk.names) != set(expected):
            raise ValueError(f"joints {list(chunk.names)}, expected {list(expected)}")
        if chunk.stamp > now + NS // 20:
            raise ValueError(f"captured {(chunk.stamp - now) / NS:.3f} s in the future")
        rows, lasts = len(chunk.values), len(chunk.values) * chunk.step / NS
        if rows > MOST_ROWS or lasts > LONGEST:
            raise ValueError(
                f"{rows} rows in {lasts:.1f} s, expected at most {MOST_ROWS} in {LONGEST:.0f} s"
            )

    def _arm_columns(self, chunk: ActionChunk) -> ActionChunk:
        values = chunk.values[:, [chunk.names.index(joint) for joint in self.joints]]
        values = smoothed(values, self.rules.smooth) if self.rules.smooth else values
        return dataclasses.replace(chunk, values=values, names=self.joints, discrete=())

    def _unwrapped(self, chunk: ActionChunk, near: np.ndarray) -> ActionChunk:
        """The chunk with continuous joints without steps of a turn, its first row `near` [N]."""
        continuous = self.limits.continuous
        if not continuous.any():
            return chunk
        columns = [chunk.names.index(joint) for joint in self.joints]
        values, before = chunk.values.copy(), near
        for row in values:
            before = before + differences(before, row[columns], continuous)
            row[columns] = before
        return dataclasses.replace(chunk, values=values)

    def _check_jump(self, arm: ActionChunk, now: int, measured: np.ndarray | None) -> None:
        row = arm.at(now)
        if row is None or measured is None:
            return
        # what the chunk itself went since it was captured is no jump, if the arm could go so far
        age = max(0, now - arm.stamp) / NS
        way = np.minimum(np.abs(row - arm.values[0]), self.limits.velocity * age)
        distance = np.abs(row - measured) - way
        if (distance > self.rules.jump).any():
            joint = int(distance.argmax())
            raise ValueError(
                f"{self.joints[joint]} would jump by {distance[joint]:.3f}, "
                f"limit {self.rules.jump:.3f}"
            )

    def _clipped(self, arm: ActionChunk) -> tuple[ActionChunk, str]:
        """The rows clipped to the position range, and a text that says what was clipped.

        ValueError if a row is too far outside.
        """
        inside = np.clip(arm.values, *self._range)
        distance = np.abs(arm.values - inside).max(axis=0)
        if (distance < ROUNDING).all():
            return dataclasses.replace(arm, values=inside), ""
        joint = int(distance.argmax())
        text = f"{self.joints[joint]} is {distance[joint]:.3f} outside its range"
        if distance[joint] > self.rules.clip:
            raise ValueError(f"{text}, limit {self.rules.clip:.3f}")
        return dataclasses.replace(arm, values=inside), text


def _rounded(values: np.ndarray, towards: float) -> np.ndarray:
    """The float32 next to these values [N], rounded `towards` plus or minus infinity."""
    near = values.astype(np.float32)
    beyond = near < values if towards > 0 else near > values
    return np.where(beyond, np.nextafter(near, np.float32(towards)), near)


def _from_first_row(chunk: ActionChunk, now: int) -> ActionChunk:
    """The chunk played from `now` on: an arm at rest has not done the rows that are past.

    ValueError if it came later than it lasts.
    """
    late = now - chunk.end
    if late > chunk.end - chunk.stamp:
        raise ValueError(f"chunk is over: its last row was due {late / NS:.3f} s ago")
    return dataclasses.replace(chunk, stamp=max(chunk.stamp, now))


def smoothed(values: np.ndarray, rows: float) -> np.ndarray:
    """Rows [H, D] low-pass filtered: a period of `rows` rows is halved, a shorter one vanishes.

    Whittaker's smoother with second differences (Eilers, A Perfect Smoother, 2003): straight lines
    stay as they are.
    """
    difference = np.diff(np.eye(len(values)), 2, axis=0)
    smooth = np.eye(len(values)) + (rows / (2 * np.pi)) ** 4 * difference.T @ difference
    return np.linalg.solve(smooth, values.astype(np.float64)).astype(np.float32)
