# SPDX-License-Identifier: Apache-2.0
"""How long a chunk of the embedded checkpoint takes on one CPU thread, by preset, in turns.

python bench/cpu_presets.py [--chunks 25] [--out FILE]

Processor and wall time of a whole inference, pictures to chunk, medians; unguided, as its robot
file asks for it. On a machine that does other things the shares count, not the milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from result_file import report

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy

PRESETS = ("exact", "two_steps", "fast", "faster", "fastest")
WARM_UP = 3  # chunks of each preset that do not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", type=int, default=25, help="of each preset")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    policies = {name: load_policy(EMBEDDED, preset=name, guidance=1.0) for name in PRESETS}
    robot, random = policies["exact"].embodiment, np.random.default_rng(0)
    images = {view: random.integers(0, 255, (180, 320, 3), dtype=np.uint8) for view in robot.views}
    seen = Observation(images, robot.neutral_state(), "pick up the red cube", stamp=1)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PRESETS}
    for _ in range(WARM_UP + chosen.chunks):
        for name, policy in policies.items():
            begin = time.process_time(), time.perf_counter()
            policy.infer(seen)
            taken[name].append((time.process_time() - begin[0], time.perf_counter() - begin[1]))
    found = {}
    for name, times in taken.items():
        cpu, wall = (1e3 * statistics.median(part) for part in zip(*times[WARM_UP:], strict=True))
        found[name] = {"processor_ms": round(cpu, 1), "wall_ms": round(wall, 1)}
    for row in found.values():
        row["share of exact"] = round(row["processor_ms"] / found["exact"]["processor_ms"], 3)
    report(
        f"python bench/cpu_presets.py --chunks {chosen.chunks}",
        ("torch", "numpy"),
        chosen.out,
        load_average=os.getloadavg()[0],
        presets=found,
    )


if __name__ == "__main__":
    main()
