# SPDX-License-Identifier: Apache-2.0
"""How long a chunk of the embedded checkpoint takes on one CPU thread, by preset, in turns.

python bench/cpu_presets.py [--chunks 25] [--recipe training/recipes/metaworld.yaml] [--out FILE]

With a recipe: of a checkpoint as it begins by that, random towers and its start's autoencoder.

Processor and wall time of a whole inference, pictures to chunk, medians; unguided, as its robot
file asks for it. On a machine that does other things the shares count, not the milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from result_file import report

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.recipe import read_recipe
from cosmos3_ros.training.train import begin

PRESETS = ("exact", "two_steps", "fast", "faster", "fastest")
WARM_UP = 3  # chunks of each preset that do not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", type=int, default=25, help="of each preset")
    parser.add_argument("--recipe", type=Path, help="whose checkpoint is measured untrained")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = EMBEDDED
        if chosen.recipe:
            folder = Path(place) / "checkpoint"
            begin(read_recipe(chosen.recipe), folder)
        policies = {name: load_policy(folder, preset=name, guidance=1.0) for name in PRESETS}
    robot, random = policies["exact"].embodiment, np.random.default_rng(0)
    images = {view: random.integers(0, 255, (180, 320, 3), dtype=np.uint8) for view in robot.views}
    seen = Observation(images, robot.neutral_state(), "pick up the red cube", stamp=1)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in PRESETS}
    for _ in range(WARM_UP + chosen.chunks):
        for name, policy in policies.items():
            began = time.process_time(), time.perf_counter()
            policy.infer(seen)
            taken[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    found = {}
    for name, times in taken.items():
        cpu, wall = (1e3 * statistics.median(part) for part in zip(*times[WARM_UP:], strict=True))
        found[name] = {"processor_ms": round(cpu, 1), "wall_ms": round(wall, 1)}
    towers = policies["exact"].model.transformer
    chunk_ms = robot.horizon * robot.step / 1e6
    for row in found.values():
        row["share of chunk"] = round(row["processor_ms"] / chunk_ms, 3)
        row["share of exact"] = round(row["processor_ms"] / found["exact"]["processor_ms"], 3)
    report(
        f"python bench/cpu_presets.py --chunks {chosen.chunks}"
        + (f" --recipe {chosen.recipe}" if chosen.recipe else ""),
        ("torch", "numpy"),
        chosen.out,
        load_average=os.getloadavg()[0],
        parameters=sum(parameter.numel() for parameter in towers.parameters()),
        chunk_ms=chunk_ms,
        presets=found,
    )


if __name__ == "__main__":
    main()
