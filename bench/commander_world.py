# SPDX-License-Identifier: Apache-2.0
"""What surrounds the commander in a random history: arm, controller, sensors and policy.

Times are integer ns of a true clock that goes on by `SUBSTEP`; the commander's own clock is apart
from it by `World.offset`, which disturbances change.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from commander_arm import SUBSTEP, Arm, Controller
from sensor_msgs.msg import JointState

from cosmos3_ros.execution.spline_motion import Limits
from cosmos3_ros.execution.strategies import STRATEGIES
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.msg import ActionChunk as ActionChunkMessage
from cosmos3_ros.robot.joint_plausibility import differences
from cosmos3_ros.ros.messages import chunk_message, header

PERIOD = NS // 50

Random = np.random.Generator
Undo = Callable[[], None]


class Encoder:
    """A publisher of joint states."""

    def __init__(self, columns: list[int], random: Random, rate: float) -> None:
        self.columns, self._random, self._interval = columns, random, int(NS / rate)
        self._next, self._arrived = int(random.uniform(0, self._interval)), 0
        self.latency, self.jitter = int(random.uniform(0, 0.02) * NS), int(0.01 * NS)
        self.noise = 10 ** random.uniform(-5, -3)
        self.stamped, self.ahead = True, 0  # ahead: of its clock to that of the commander, ns
        self.fault = ""
        self.invents: Callable[[np.ndarray], np.ndarray] | None = None
        self._stuck: np.ndarray | None = None

    @property
    def interval(self) -> float:
        return self._interval / NS

    def sample(self, world: World) -> None:
        if world.time < self._next:
            return
        self._next = world.time + self._interval
        if self.fault == "lost":
            return
        where = world.wrapped(world.arm.position)
        where = where + self._random.normal(0.0, self.noise, len(where))
        if self.invents:
            where = self.invents(where)
        if self.fault != "frozen":
            self._stuck = where
        elif self._stuck is not None:
            where = self._stuck
        message = self._message(world, where)
        late = self.latency + int(self._random.uniform(0, self.jitter))
        self._arrived = max(self._arrived, world.time + late)
        healthy = not self.fault and self.invents is None and self.ahead == 0
        world.send(self._arrived, "state", (message, world.time if healthy else 0, self))

    def _message(self, world: World, where: np.ndarray) -> JointState:
        names = [world.joints[column] for column in self.columns]
        values = [float(where[column]) for column in self.columns]
        stamp = max(0, world.clock + self.ahead) if self.stamped else 0
        message = JointState(header=header(stamp))
        if self.fault == "not finite":
            values[0] = float("nan") if self._random.random() < 0.5 else float("inf")
        if self.fault == "reordered":
            order = self._random.permutation(len(names))
            names, values = [names[k] for k in order], [values[k] for k in order]
        if self.fault == "partial":
            kept = int(self._random.integers(0, len(names)))
            names, values = names[:kept], values[:kept]
        message.name = ["elsewhere", *names] if self.fault == "others" else names
        if self.fault == "velocities only":
            message.velocity = [0.0] * len(values)
        else:
            short = values[:-1] if self.fault == "too short" else values
            message.position = [0.5, *short] if self.fault == "others" else short
        return message


FAULTS = ("lost", "frozen", "not finite", "too short", "partial", "reordered", "others")
FAULTS = (*FAULTS, "velocities only")
WILD = ("not finite", "names", "far", "outside", "stale", "future", "older", "steps", "short")


class Policy:
    """Looks at the joint states, plans towards a goal, and answers late."""

    def __init__(self, random: Random, limits: Limits, strategy: str) -> None:
        self._random, self._limits, self.strategy = random, limits, strategy
        self._latency = 10 ** random.uniform(np.log10(0.05), np.log10(1.5))
        self._speed = random.uniform(0.2, 0.8)  # share of the limits
        self.next, self.number = 0, 0
        self.wild = 0.0  # share of chunks that are not as they should be
        self.pauses = False
        self._goal: np.ndarray | None = None
        self._old: ActionChunk | None = None

    @property
    def cycle(self) -> float:
        """The longest time between two chunks that want motion, s."""
        return 2.2 * self._latency + 4.5 + (4.0 if self.strategy == "sync" else 0.0)

    def look(self, world: World) -> None:
        """Plan when it is time to, from what was heard last."""
        if world.time < self.next or self.pauses or not np.isfinite(world.seen).all():
            return
        random, latency = self._random, self._latency * self._random.uniform(0.8, 1.2)
        arrives = world.time + int(latency * NS)
        chunk = self._plan(world, latency)
        lasts = (chunk.end - chunk.stamp) if self.strategy == "sync" else 0
        self.next = arrives + lasts + int(random.uniform(0.0, 0.3) * NS)
        message = None
        if random.random() < self.wild:
            message = self._wild(chunk, world)
        self.number += 1
        wild = message is not None
        world.send(arrives, "chunk", (wild, message or self._sent(chunk)))
        self._old = chunk

    def _plan(self, world: World, latency: float) -> ActionChunk:
        random, limits = self._random, self._limits
        lower = np.maximum(limits.lower, world.seen - 2.0)
        upper = np.minimum(limits.upper, world.seen + 2.0)
        goal = self._goal
        if goal is None or np.abs(goal - world.seen).max() < 0.3 or random.random() < 0.2:
            self._goal = goal = random.uniform(lower, upper)
            if np.abs(goal - world.seen).max() < 0.4:
                self._goal = goal = np.where(world.seen > (lower + upper) / 2, lower, upper)
        way, step = goal - world.seen, random.uniform(1 / 30, 1 / 10)
        # shares of the way per second; the chunk ends where it arrives, for it wants motion, but
        # not so soon that it is over for longer than it lasted when it comes
        speed = self._speed * float((limits.velocity / np.maximum(np.abs(way), 1e-6)).min())
        lasts = min(max(latency + 0.5, random.uniform(0.8, 3.0)), max(1 / speed, 0.7 * latency))
        rows = max(3, round(lasts / step))
        done = np.minimum(1.0, speed * step * np.arange(1, rows + 1))[:, None]
        values = np.clip(world.seen + done * way, limits.lower, limits.upper)
        return ActionChunk(values.astype(np.float32), world.joints, world.clock, int(step * NS))

    def _sent(self, chunk: ActionChunk, strategy: str = "") -> ActionChunkMessage:
        return chunk_message(
            chunk,
            number=self.number,
            instruction="",
            embodiment="",
            seconds={"denoise": 0.1},
            strategy=strategy or self.strategy,
        )

    def _wild(self, chunk: ActionChunk, world: World) -> ActionChunkMessage | None:
        random, kind = self._random, WILD[self._random.integers(len(WILD))]
        message = self._sent(chunk, str(random.choice([*STRATEGIES, "", "unknown"])))
        values = np.frombuffer(message.values, np.float32).reshape(chunk.values.shape).copy()
        if kind == "not finite":
            values[random.integers(len(values))] = random.choice([np.nan, np.inf])
        elif kind == "names":
            message.joint_names = ["x", *message.joint_names[1:]]
        elif kind == "far":
            values += np.float32(random.normal(0.0, 2.0))
        elif kind == "outside":
            values *= np.float32(random.uniform(1.0, 10.0))
        elif kind in ("stale", "future"):
            by = int(random.uniform(0.02, 20.0) * NS) * (1 if kind == "future" else -1)
            message.header = header(max(0, world.clock + by))
        elif kind == "older" and self._old is not None:
            message = self._sent(self._old)
            values = self._old.values
        elif kind == "steps":
            values = values + random.normal(0.0, 0.3, values.shape).astype(np.float32)
        elif kind == "short":
            message.horizon = int(random.integers(0, 3))
            values = values[: random.integers(0, 3)]
        del message.values[:]
        message.values.frombytes(np.ascontiguousarray(values).tobytes())
        return message


class World:
    """Everything but the commander."""

    def __init__(self, random: Random, joints: tuple[str, ...], limits: Limits) -> None:
        self.random, self.joints, self.limits = random, joints, limits
        self.time = 0
        # of the commander's clock
        self.offset = int(random.choice([100, 1_800_000_000])) * NS
        near = np.where(limits.continuous, 3.0, np.minimum(limits.upper, -limits.lower))
        start = random.uniform(-0.7, 0.7, len(joints)) * near
        self.controller = Controller(start, limits)
        self.arm = Arm(start, limits, int(random.uniform(0.0, 0.1) * NS))
        split = len(joints) > 1 and random.random() < 0.3
        columns = list(range(len(joints)))
        groups = [columns[:1], columns[1:]] if split else [columns]
        self.encoders = [Encoder(g, random, 10 ** random.uniform(1.31, 2.3)) for g in groups]
        if random.random() < 0.15:
            for encoder in self.encoders:
                encoder.stamped = False
        strategy = list(STRATEGIES)[random.integers(len(STRATEGIES))]
        self.policy = Policy(random, limits, strategy)
        self.seen = np.full(len(joints), np.nan)
        # of the last good measurement that was delivered, per joint: when it was taken, true ns
        self.known_at = np.zeros(len(joints), np.int64)
        self._waiting: list[tuple[int, int, str, Any]] = []
        self._count = 0

    @property
    def clock(self) -> int:
        """What the commander's clock shows, ns."""
        return self.time + self.offset

    def wrapped(self, position: np.ndarray) -> np.ndarray:
        """As encoders say it: continuous joints within a turn."""
        around = (position + np.pi) % (2 * np.pi) - np.pi
        return np.where(self.limits.continuous, around, position)

    def away(self, position: np.ndarray) -> np.ndarray:
        """How far a position is from the arm, [N]."""
        return np.abs(differences(self.arm.position, position, self.limits.continuous))

    def send(self, arrives: int, kind: str, message: Any) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (arrives, self._count, kind, message))

    def advance(self) -> None:
        """Go on by one SUBSTEP."""
        self.time += SUBSTEP
        if self.controller.active:
            self.controller.advance(self.clock)
        self.arm.advance(self.controller.set_point, self.controller.active)
        for encoder in self.encoders:
            encoder.sample(self)
        self.policy.look(self)

    def arrived(self) -> list[tuple[str, Any]]:
        """The messages that have come since the last call."""
        found = []
        while self._waiting and self._waiting[0][0] <= self.time:
            _, _, kind, message = heapq.heappop(self._waiting)
            found.append((kind, message))
        return found

    def heard(self, message: JointState, taken: int, encoder: Encoder) -> None:
        """A joint state was delivered; taken: when it was measured (true ns), 0: it is no good."""
        for name, position in zip(message.name, message.position, strict=False):
            if name in self.joints and np.isfinite(position):
                self.seen[self.joints.index(name)] = position
        if taken:
            self.known_at[encoder.columns] = taken
