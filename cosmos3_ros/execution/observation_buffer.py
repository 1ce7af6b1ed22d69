# SPDX-License-Identifier: Apache-2.0
"""Pictures of one moment and the joints interpolated to it, from streams that run on their own.

Pure: any payload, time is passed in.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model.interface import NS
from ..robot.joint_history import JointHistory
from ..robot.joint_states import JointStates
from .frame_sets import Frames, FrameSet, Rhythm, wait_until
from .stamp_judge import AHEAD, StampJudge, Verdict

STATE = "joint states"
MOST_FRAMES = 100  # of one view: a bound on memory, far more than a set needs
RECENT = 32  # messages that tell the rate of a stream


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One set of payloads that belong together."""

    images: dict[str, Any]  # by view
    state: Any  # interpolated to `stamp`, float64
    stamp: int  # of the oldest image, ns
    received: int  # when the last image arrived, ns


class _Stream:
    """What is known about the messages of one view, or of the joint states."""

    def __init__(self, judge: StampJudge) -> None:
        self.judge = judge
        self.refused = 0
        self.fault = ""  # of the last message
        self.clear()

    def clear(self) -> None:
        self.newest: int | None = None  # stamp
        self.is_repeated = False
        self.fault = ""
        self.recent: collections.deque[tuple[int, int]] = collections.deque(maxlen=RECENT)
        self.stamps: list[int] = []  # of the frames of a view, rising
        self.frames: list[tuple[int, Any]] = []  # when they were received, and they
        self.judge.forget()

    def drop(self, before: int) -> None:
        """Forget the frames of stamps before this one, and those that are too many."""
        count = max(bisect.bisect_left(self.stamps, before), len(self.stamps) - MOST_FRAMES)
        del self.stamps[:count], self.frames[:count]


class ObservationBuffer:
    """Keeps the recent messages of each view and of the state; `sample` puts a set together.

    max_age: how old (ns) a sample may be; max_skew: how far apart (ns) its parts may be. ahead: how
    far (ns) a stamp may be ahead of its reception. joints: names those that are not known.

    A state is a number or an array, always of one shape, NaN for joints that its message does not
    tell: each joint has stamps of its own. Not thread-safe: used from one executor thread.
    """

    def __init__(
        self,
        views: Sequence[str],
        max_age: int,
        max_skew: int,
        ahead: int = AHEAD,
        joints: JointStates | None = None,
    ) -> None:
        self.views, self.max_age, self.max_skew = tuple(views), max_age, max_skew
        # a camera has one driver, so that its stamps do not go back; joints may have several
        self._streams = {
            view: _Stream(StampJudge(max_age, ahead, jump=NS // 10)) for view in self.views
        }
        self._streams[STATE] = _Stream(StampJudge(max_age, ahead))
        self._states, self._joints = JointHistory(max_age + max_skew, max_skew), joints
        self._waits_since: int | None = None  # with a sample at hand, for a better one

    def add(self, name: str, stamp: int, received: int, payload: Any) -> Verdict:
        """Store one message of a view or of STATE, if its stamp can be believed.

        Where the verdict says that the clock jumped back, everything older was dropped.
        """
        stream = self._streams[name]
        verdict = stream.judge.judge(stamp, received)
        if verdict.jumped:
            self.clear()
        stream.fault, stream.is_repeated = verdict.fault, verdict.repeated
        if verdict.fault:
            stream.refused += 1
            return verdict
        stamp = verdict.stamp
        is_new = stream.newest is None or stamp > stream.newest
        if name == STATE:
            # several publishers take turns: each joint looks at its own stamps
            self._states.add(stamp, np.asarray(payload, np.float64))
        elif is_new:
            stream.stamps.append(stamp)
            stream.frames.append((received, payload))
            self._drop_useless(received)
        if is_new:
            stream.newest = stamp
            stream.recent.append((stamp, received))
        return verdict

    def clear(self) -> None:
        """Forget everything (new episode, clock jump)."""
        for stream in self._streams.values():
            stream.clear()
        self._states.clear()
        self._waits_since = None

    def ages(self, now: int) -> dict[str, float]:
        """Seconds since the newest stamp of each stream; infinity if nothing came yet.

        Of the joint states: of the joint that was told longest ago.
        """
        return {
            name: math.inf if newest is None else (now - newest) / NS
            for name, newest in self._newest().items()
        }

    def rates(self) -> dict[str, float]:
        """Messages per second of each stream, from its last stamps; 0 with fewer than two."""
        return {name: _rate(stream.recent) for name, stream in self._streams.items()}

    def refused(self) -> dict[str, int]:
        """How many messages of each stream could not be used because of their stamps."""
        return {name: stream.refused for name, stream in self._streams.items()}

    def faults(self, now: int) -> dict[str, str]:
        """Which streams cannot be used now, and why."""
        found = {}
        for name, age in self.ages(now).items():
            stream, told = self._streams[name], self._joints if name == STATE else None
            lacks = told.lacks(now, self.max_age) if told else ""
            if age == math.inf:
                found[name] = stream.fault or lacks or "nothing received"
            elif abs(age) * NS > self.max_age:
                old = f"{age:.2f} s old" if age > 0 else f"{-age:.2f} s in the future"
                repeated = "the same stamp again and again, " * stream.is_repeated
                limit = f"limit {self.max_age / NS:.2f} s"
                found[name] = stream.fault or lacks or f"{repeated}{old}, {limit}"
        return found

    def sample(self, now: int, after: int = -1) -> Sample | str:
        """The best set of images of one moment and the state then, or why there is none.

        Newer than `after` (ns, a stamp that was answered) if there is such a set, else the best of
        the older ones.
        """
        if faults := self.faults(now):
            return "; ".join(f"{name}: {why}" for name, why in faults.items())
        frames, oldest = self._frames(), now - self.max_age - 1
        found = frames.best_set(max(after, oldest), self.max_skew)
        found = found or frames.best_set(oldest, self.max_skew)
        return self._sample(found) if found else self._apart(frames)

    def ready(self, now: int, after: int = -1) -> Sample | str | None:
        """The sample to infer from now; None while a newer or a better one is worth waiting for.

        Asked again with every message. Like `sample`, a str says why there is none.
        """
        sample = self.sample(now, after)
        if isinstance(sample, str) or sample.stamp <= after:
            self._waits_since = None
            return sample if isinstance(sample, str) else None
        if self._waits_since is None:
            self._waits_since = now
        if now < self._wait_until(now, sample.stamp, after):
            return None
        self._waits_since = None
        return sample

    def _wait_until(self, now: int, oldest: int, after: int) -> int:
        """Until when (ns) waiting for a better sample than that of this stamp pays."""
        frames = self._frames()
        found = frames.best_set(oldest - 1, self.max_skew)
        if found is None or self._waits_since is None:
            return now
        cameras = [Rhythm.of(self._streams[view].recent) for view in self.views]
        joints = Rhythm.of(self._streams[STATE].recent)
        until = wait_until(now, frames, found, cameras, joints, after, self.max_skew)
        longest = max((rhythm.period for rhythm in cameras if rhythm), default=0)
        return min(until, self._waits_since + longest)

    def _newest(self) -> dict[str, int | None]:
        """Stamp of the newest frame of each view, and until which every joint is known."""
        views = {view: self._streams[view].newest for view in self.views}
        return {**views, STATE: self._states.newest}

    def _frames(self) -> Frames:
        cameras = [self._streams[view].stamps for view in self.views]
        return Frames(cameras, self._states.distance)

    def _sample(self, found: FrameSet) -> Sample:
        images, last = {}, 0
        for view, stamp in zip(self.views, found.stamps, strict=True):
            stream = self._streams[view]
            received, images[view] = stream.frames[bisect.bisect_left(stream.stamps, stamp)]
            last = max(last, received)
        return Sample(images, self._states.at(found.oldest)[()], found.oldest, last)

    def _apart(self, frames: Frames) -> str:
        """Why no frames at hand make a set."""
        limit = f"limit {self.max_skew / NS:.3f} s"
        closest = frames.closest()
        if closest is None:
            return f"no moment that every camera has a picture of, {limit}"
        spread = max(closest) - min(closest)
        if spread > self.max_skew:
            last = self.views[closest.index(max(closest))]
            first = self.views[closest.index(min(closest))]
            return (
                f"{last}: {spread / NS:.3f} s apart from {first} at best, {limit}: "
                "synchronize the cameras or raise max_skew"
            )
        distance = self._states.distance(min(closest))
        return f"{STATE}: {distance / NS:.3f} s apart from the other streams, {limit}"

    def _drop_useless(self, now: int) -> None:
        """Forget the frames that no set will be made of any more."""
        newest = [stamp for stamp in self._newest().values() if stamp is not None]
        before = now - self.max_age
        if len(newest) == len(self._streams):
            before = max(before, min(newest) - 2 * self.max_skew)
        for view in self.views:
            self._streams[view].drop(before)


def _rate(recent: Sequence[tuple[int, int]]) -> float:
    span = recent[-1][0] - recent[0][0] if len(recent) > 1 else 0
    return (len(recent) - 1) * NS / span if span > 0 else 0.0
