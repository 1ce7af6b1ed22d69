# SPDX-License-Identifier: Apache-2.0
"""Random chunks, latencies and stops, a million of them: does any set point leave a limit, go back in time, or jump?

python bench/motion_limits.py --chunks 1000000 --out bench/results/motion_limits.json
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.motion import Limits, Motion, brake, follow, rest

NAMES = tuple(f"panda_joint{k}" for k in range(1, 8))
ACCELERATION = np.array([7.5, 3.75, 5.0, 6.25, 7.5, 10.0, 10.0])
LIMITS = Limits(
    np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
    np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
    np.array([2.06, 2.06, 2.06, 2.06, 2.48, 2.48, 2.48]),
    ACCELERATION,
    30 * ACCELERATION,
)
TICK = NS // 250


def chunk_of(random: np.random.Generator, here: np.ndarray, now: int) -> ActionChunk:
    """From gentle to wild, at 10 to 50 Hz, 1 to 48 rows, most of them late and some of them over."""
    step, rows = int(NS / random.uniform(10, 50)), int(random.integers(1, 49))
    walk = random.normal(size=(rows, 7)).cumsum(axis=0) if random.random() < 0.7 else random.normal(size=(rows, 7))
    values = here + 10 ** random.uniform(-4, 0.3) * walk
    values = np.clip(values, LIMITS.lower, LIMITS.upper).astype(np.float32)
    return ActionChunk(values, NAMES, now - int(random.uniform(0, 1.1) * rows * step), step)


def violations(points: np.ndarray) -> dict[str, int]:
    """Set points 4 ms apart that are outside a limit; differences of floats are rough, hence the slack."""
    dt, found = TICK / NS, {}
    inside = (points >= LIMITS.lower - 1e-6) & (points <= LIMITS.upper + 1e-6)  # rows are float32
    found["position"] = int((~inside).any(axis=1).sum())
    for order, (name, most) in enumerate(zip(("velocity", "acceleration", "jerk"), LIMITS.rates(), strict=True), 1):
        rate = np.abs(np.diff(points, order, axis=0)) / dt**order
        found[name] = int((rate > most * (1 + 1e-5) + 1e-13 / dt**order).any(axis=1).sum())
    return found


def run(chunks: int, seed: int) -> dict[str, object]:
    """Episodes of ten chunks; the set points of a whole episode are one line that is checked across its seams."""
    random, total = np.random.default_rng(seed), {"position": 0, "velocity": 0, "acceleration": 0, "jerk": 0}
    played = rejected = slowed = points = 0
    times: list[float] = []
    began = time.monotonic()
    while played + rejected < chunks:
        motion, now = rest(random.uniform(LIMITS.lower, LIMITS.upper), 0), 0
        line: list[np.ndarray] = []
        for _ in range(10):
            chunk, start = chunk_of(random, motion.at(now)[0], now), time.perf_counter()
            try:
                new: Motion = follow(chunk, motion, now, LIMITS)
                played, slowed = played + 1, slowed + (new.pace < 1)
            except ValueError:
                new, rejected = motion, rejected + 1
            times.append(time.perf_counter() - start)
            if random.random() < 0.1:
                new = brake(new, now, LIMITS)
            until = now + int(random.uniform(0.004, 1.0) * NS) // TICK * TICK
            line.append(new.at(np.arange(now, until, TICK))[0])
            motion, now = new, until
        line.append(motion.at(np.arange(now, motion.end + 2 * TICK, TICK))[0])
        episode = np.vstack(line)
        points += len(episode)
        for name, count in violations(episode).items():
            total[name] += count
    p50, p99, worst = np.percentile(np.array(times) * 1e3, [50, 99, 100])
    return {
        "chunks": played + rejected,
        "played": played,
        "slowed down": slowed,
        "rejected": rejected,
        "set points": points,
        "violations": total,
        "planning p50, p99, max [ms]": [round(float(x), 3) for x in (p50, p99, worst)],
        "minutes": round((time.monotonic() - began) / 60, 2),
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
        args.out.write_text(json.dumps({"date": time.strftime("%Y-%m-%d"), **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
