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
from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.demonstrations import Demonstration, record

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
    dynamics, robot = Dynamics(policy), policy.embodiment
    rows: dict[str, list[np.ndarray]] = {"early": [], "later": []}
    seeds = range(FIRST_SEED, FIRST_SEED + chosen.episodes)
    for task, seed in ((task, seed) for task in chosen.tasks.split(",") for seed in seeds):
        episode = record(Demonstration(task, seed, noise=0.0, astray=0.0))
        for start in range(0, len(episode or ()) - robot.horizon, EVERY):
            assert episode is not None
            views = [
                {view: frames[step] for view, frames in episode.views.items()}
                for step in range(start, start + robot.horizon + 1)
            ]
            seen = Observation(views[0], episode.states[start], episode.instructions[0], 0)
            frames = np.stack([robot.compose(images) for images in views])
            real = episode.actions[start : start + robot.horizon]
            policy.reset()
            said = (dynamics.infer_actions(frames, seen), policy.infer(seen).chunk)
            errors = [1000 * np.abs(chunk.values - real)[:, :7].mean(0) for chunk in said]
            rows["early" if start <= EARLY else "later"].append(np.stack(errors))
    found: dict[str, Any] = {}
    for when, windows in rows.items():
        middle = np.median([[(e[6], e[:6].mean()) for e in pair] for pair in windows], axis=0)
        most = np.max([[(e[6], e[:6].mean()) for e in pair] for pair in windows], axis=0)
        found[when] = {"windows": len(windows)} | {
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
