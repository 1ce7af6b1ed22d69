# SPDX-License-Identifier: Apache-2.0
"""How far apart samples of one observation are, along episodes of the simulation.

python bench/sample_spread.py [--tasks lift,lift_clutter] [--episodes 3] [--looks 6] [--samples 4]

What the gate of best of N is chosen by: the distance is that of `best_of_gate`. The first sample of
each look is played (its first six rows).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_file import report

from cosmos3_ros.model.best_of.choice import disagreement, distances
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.model.policy_batch import infer_samples
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.sim.arm_constants import FINGER_CLOSED
from cosmos3_ros.sim.env import Env, shared_env
from cosmos3_ros.sim.real_time_pace import TICKS_PER_SECOND

PLAYED = 6  # rows between two looks
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


def looks(policy: Cosmos3Policy, env: Env, count: int, samples: int) -> Iterator[dict[str, float]]:
    """What each look of an episode shows: distances, and the time of the batch in s."""
    for number in range(count):
        observation = env.observe()
        began = time.perf_counter()
        drawn = infer_samples(policy, observation, None, samples)
        taken = time.perf_counter() - began
        values = np.stack([sample.chunk.values for sample in drawn])
        apart = {
            "all": disagreement(distances(values)),
            "arm": disagreement(distances(values[..., :7])),
        }
        yield {"look": number, **apart, "seconds": taken}
        for row in drawn[0].chunk.values[:PLAYED]:
            for _ in range(round(TICKS_PER_SECOND / policy.embodiment.fps)):
                env.simulation.tick(row[:7].astype(float), FINGER_CLOSED * row[7:].astype(float))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", default="lift,lift_clutter")
    parser.add_argument("--episodes", type=int, default=3, help="of each task")
    parser.add_argument("--looks", type=int, default=6, help="in each episode")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    policy = load_policy(embedded_checkpoint(), num_steps=4, guidance=1.0)
    found: list[dict[str, float]] = []
    for task in args.tasks.split(","):
        env = shared_env(task, distractors=2)
        for seed in range(args.episodes):
            env.reset(task, seed, 0)
            policy.reset()
            found += looks(policy, env, args.looks, args.samples)
    rows: dict[str, Any] = {}
    for name, part in {
        "first two looks": [row for row in found if row["look"] < 2],
        "later": [row for row in found if row["look"] >= 2],
        "every look": found,
    }.items():
        for kind in ("all", "arm"):
            values = np.quantile([row[kind] for row in part], SHARES).round(4)
            rows[f"{name}, {kind}"] = dict(zip(map(str, SHARES), values.tolist(), strict=True))
    command = (
        f"python bench/sample_spread.py --tasks {args.tasks} --episodes {args.episodes} "
        f"--looks {args.looks} --samples {args.samples}"
    )
    seconds = float(np.median([row["seconds"] for row in found]))
    report(command, ("torch", "numpy"), args.out, quantiles=rows, batch_seconds=seconds)


if __name__ == "__main__":
    main()
