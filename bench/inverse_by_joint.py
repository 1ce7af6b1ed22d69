# SPDX-License-Identifier: Apache-2.0
"""Which joints inverse dynamics get wrong, and when: windows of demonstrations, every fourth row.

python bench/inverse_by_joint.py [CHECKPOINT] [--episodes 4] [--tasks reach,lift,bowl,stack,catch]
    [--out FILE]

Mean errors of a chunk against the expert's rows, mrad, of joint 7 (the wrist) and of the other six;
medians over the windows that begin in the first 0.6 s, while the hand turns, and over later ones.
Beside it the policy's own chunk, which sees the first frame alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.evaluation.world_model import inverse_dynamics, windows

FIRST_SEED = 30_000_000
EVERY, EARLY = 4, 8  # rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=EMBEDDED)
    parser.add_argument("--tasks", default="reach,lift,bowl,stack,catch")
    parser.add_argument("--episodes", type=int, default=4, help="of each task")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    policy = load_policy(chosen.checkpoint, num_steps=4, guidance=1.0)
    rows: dict[str, list[np.ndarray]] = {"early": [], "later": []}
    seeds = range(FIRST_SEED, FIRST_SEED + chosen.episodes)
    for task, seed in ((task, seed) for task in chosen.tasks.split(",") for seed in seeds):
        episode = record(Demonstration(task, seed, noise=0.0, astray=0.0))
        for number, window in enumerate(windows(policy, episode, EVERY) if episode else ()):
            policy.reset()
            said = (inverse_dynamics(policy, window), policy.infer(window.observation).chunk.values)
            errors = [1000 * np.abs(values - window.rows)[:, :7].mean(0) for values in said]
            rows["early" if number * EVERY <= EARLY else "later"].append(np.stack(errors))
    found: dict[str, Any] = {}
    for when, pairs in rows.items():
        middle = np.median([[(e[6], e[:6].mean()) for e in pair] for pair in pairs], axis=0)
        most = np.max([[(e[6], e[:6].mean()) for e in pair] for pair in pairs], axis=0)
        found[when] = {"windows": len(pairs)} | {
            f"{name}, {joints}": {
                "median": round(float(middle[way, part]), 1),
                "most": round(float(most[way, part]), 1),
            }
            for way, name in enumerate(("inverse dynamics", "policy"))
            for part, joints in enumerate(("joint 7", "the other six"))
        }
    report(
        f"python bench/inverse_by_joint.py {chosen.checkpoint.name} --tasks {chosen.tasks} "
        f"--episodes {chosen.episodes}",
        ("torch", "mujoco"),
        chosen.out,
        error_mrad=found,
    )


if __name__ == "__main__":
    main()
