# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of the simulated arm: accuracy, limits and time over random paths.

python bench/inverse_kinematics.py [--paths 1500] [--out bench/results/inverse_kinematics.json]

A path is that of the tool for joints that go from one place to another in 32 rows at 15 Hz. Half of
them begin anywhere in the position range, the others near the start pose; of a third the elbow is
almost straight, of a fifth the wrist.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.robot.kinematics.inverse import InverseKinematics
from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
from cosmos3_ros.robot.robot_file import config_folder
from cosmos3_ros.sim.arm_constants import ARM, HOME

ELBOW, WRIST = 3, 5
ROWS, RATE = 32, 15
WITHIN = 1e-3, math.radians(0.5)


def ends(tool: ToolFrame, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where the joints of a path begin and end, rad [N]."""
    lower, upper = tool.lower + 0.05, tool.upper - 0.05
    near = np.clip(HOME + rng.uniform(-0.5, 0.5, 7), lower, upper)
    begin = rng.uniform(lower, upper) if number % 2 else near
    if number % 3 == 0:
        begin[ELBOW] = -0.08
    if number % 5 == 0:
        begin[WRIST] = 0.0
    end = np.clip(begin + rng.uniform(-0.6, 0.6, 7), tool.lower + 0.02, tool.upper - 0.02)
    return begin, end


def measure(paths: int, seed: int) -> dict[str, Any]:
    """All paths."""
    urdf = str(config_folder() / "urdf" / "droid_sim.urdf")
    tool = ToolFrame(ToolSettings(urdf, "panda_tcp"), ARM)
    solver, rng = InverseKinematics(tool, tool.lower, tool.upper), np.random.default_rng(seed)
    share = np.linspace(0, 1, ROWS + 1)[1:, None]
    share = 3 * share**2 - 2 * share**3
    off, took, refused = [], [], []
    for number in range(paths):
        begin, end = ends(tool, number, rng)
        poses = tool.poses(begin + share * (end - begin))
        began = time.perf_counter()
        try:
            off.append(solver.path(poses, begin, 1 / RATE).short.max(axis=0))
        except ValueError as error:
            refused.append(str(error))
        took.append(time.perf_counter() - began)
    within = [bool((worst <= WITHIN).all()) for worst in off]
    good = np.array(off)[within]
    return {
        "paths": paths,
        "within 1 mm and 0.5 degrees": sum(within),
        "refused": refused,
        "of these, largest [mm, degrees]": [1e3 * good[:, 0].max(), np.degrees(good[:, 1].max())],
        "others [mm, degrees]": [
            [1e3 * worst[0], math.degrees(worst[1])]
            for worst, good in zip(off, within, strict=True)
            if not good
        ],
        "a path [ms], p50 and p99": [1e3 * float(np.percentile(took, p)) for p in (50, 99)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    command = f"python bench/inverse_kinematics.py --paths {args.paths} --seed {args.seed}"
    report(command, ("pin", "numpy"), args.out, **measure(args.paths, args.seed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
