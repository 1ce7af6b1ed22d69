# SPDX-License-Identifier: Apache-2.0
"""Random chunks, latencies, strategies, stops: does a set point leave a limit or jump?

Two checks. Control points: all that was executed is one spline across all seams, whose control
points' differences bound position, speed, acceleration and jerk at every moment. Samples: set
points 4 ms apart, which knows no splines.

python bench/motion_limits.py --chunks 1000000 --out bench/results/motion_limits.json
"""

import argparse
import collections
import dataclasses
import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosmos3_ros.execution.chunk_player import ChunkPlayer
from cosmos3_ros.execution.spline_motion import STEP, Limits, SplineMotion
from cosmos3_ros.execution.strategies import STRATEGIES
from cosmos3_ros.model.interface import NS, ActionChunk

NAMES = tuple(f"panda_joint{k}" for k in range(1, 8))
ACCELERATION = np.array([7.5, 3.75, 5.0, 6.25, 7.5, 10.0, 10.0])
LIMITS = Limits(
    np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
    np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
    np.array([2.06, 2.06, 2.06, 2.06, 2.48, 2.48, 2.48]),
    ACCELERATION,
    30 * ACCELERATION,
)
KINDS = ("position", "velocity", "acceleration", "jerk")
TICK = NS // 250


@dataclasses.dataclass(frozen=True)
class Piece:
    """What is executed between `begin` and `end` (ns), when the next decision is made.

    took: to decide on it, s of processor time.
    """

    motion: SplineMotion
    begin: int
    end: int
    took: float


def chunk_of(
    random: np.random.Generator, here: np.ndarray, now: int, size: float, late: float
) -> ActionChunk:
    """10 to 50 Hz, 1 to 48 rows, mean steps up to `size` rad, up to `late` of it over already."""
    step, rows = int(NS / random.uniform(10, 50)), int(random.integers(1, 49))
    walk = (
        random.normal(size=(rows, 7)).cumsum(axis=0)
        if random.random() < 0.7
        else random.normal(size=(rows, 7))
    )
    values = here + size * 10 ** random.uniform(-2, 0) * walk
    values = np.clip(values, LIMITS.lower, LIMITS.upper).astype(np.float32)
    return ActionChunk(values, NAMES, now - int(random.uniform(0, late) * rows * step), step)


def drive(
    player: ChunkPlayer, random: np.random.Generator, chunks: int, size: float, late: float
) -> Iterator[Piece]:
    """Chunk after chunk at random moments, now and then a stop.

    The last piece goes on until it is at rest.
    """
    now = 0
    player.start_at(0, random.uniform(LIMITS.lower, LIMITS.upper))
    for number in range(1, chunks + 1):
        chunk = chunk_of(random, player.motion.at(now)[0], now, size, late)
        # a policy looks at newer and newer images
        if player.loaded and chunk.stamp < player.loaded.chunk.stamp:
            chunk = dataclasses.replace(chunk, stamp=player.loaded.chunk.stamp)
        strategy, began = list(STRATEGIES)[random.integers(len(STRATEGIES))], time.thread_time()
        player.load(now, chunk, number, strategy)
        took = time.thread_time() - began
        if random.random() < 0.1 or player.end_reason(now):
            player.hold(now, "stop")
        until = now + int(random.uniform(0.004, 1.0) * NS) // TICK * TICK
        if number == chunks:
            until = max(until, player.motion.end + 2 * TICK)
        yield Piece(player.motion, now, until, took)
        now = until


def spline(pieces: list[Piece]) -> tuple[np.ndarray, dict[str, int]]:
    """The control points [K, 7] of all that was executed.

    Seams at which time or the spline does not go on.
    """
    wrong, line = {"time": 0, "seam": 0}, []
    for old, new in itertools.pairwise(pieces):
        # a new motion begins within the span that is being executed
        late = new.begin - new.motion.start
        spans, between = divmod(new.motion.start - old.motion.start, STEP)
        wrong["time"] += new.motion is not old.motion and not (
            0 <= late < STEP and spans >= 0 == between
        )
        wrong["time"] += old.end != new.begin
        points = old.motion.points[np.minimum(np.arange(spans + 4), len(old.motion.points) - 1)]
        wrong["seam"] += not np.array_equal(points[spans:], new.motion.points[:4])
        line.append(points[:spans])
    return np.vstack([*line, pieces[-1].motion.points]), wrong


def samples(pieces: list[Piece]) -> np.ndarray:
    """Set points [T, 7], 4 ms apart."""
    return np.vstack(
        [piece.motion.at(np.arange(piece.begin, piece.end, TICK))[0] for piece in pieces]
    )


def violations(points: np.ndarray, dt: float) -> dict[str, int]:
    """How many of the points (`dt` s apart) leave a limit."""
    inside = (points >= LIMITS.lower - 1e-6) & (points <= LIMITS.upper + 1e-6)  # rows are float32
    found, change = {KINDS[0]: int((~inside).any(axis=1).sum())}, points
    for order, (name, most) in enumerate(zip(KINDS[1:], LIMITS.derivatives(), strict=True), 1):
        change = np.diff(change, axis=0)
        # differences of floats are rough, hence the slack
        found[name] = int(
            (np.abs(change) > most * dt**order * (1 + 1e-5) + 1e-13).any(axis=1).sum()
        )
    return found


def run(chunks: int, seed: int) -> dict[str, object]:
    """Episodes of ten chunks, from gentle to wild."""
    random, counts, began = np.random.default_rng(seed), collections.Counter(), time.monotonic()
    exact, sampled = collections.Counter(), collections.Counter()
    took: list[float] = []
    while counts["chunks"] < chunks:
        player = ChunkPlayer(NAMES, LIMITS)
        pieces = list(drive(player, random, 10, size=10 ** random.uniform(-3, 0.3), late=1.1))
        line, wrong = spline(pieces)
        points = samples(pieces)
        exact.update(wrong | violations(line, STEP / NS))
        sampled.update(violations(points, TICK / NS))
        took += [piece.took for piece in pieces]
        counts.update(
            played=player.played,
            slowed=player.limited,
            rejected=player.rejected,
            chunks=len(pieces),
        )
        counts.update({"set points": len(points)})
    p50, p99, worst = np.percentile(np.array(took) * 1e3, [50, 99, 100])
    return {
        **counts,
        "violations by control points": exact,
        "violations by samples": sampled,
        "planning p50, p99, max [ms of processor time]": [
            round(float(x), 3) for x in (p50, p99, worst)
        ],
        "minutes": round((time.monotonic() - began) / 60, 2),
        "load average": os.getloadavg()[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = run(args.chunks, args.seed)
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            json.dumps({"date": time.strftime("%Y-%m-%d"), **result}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
