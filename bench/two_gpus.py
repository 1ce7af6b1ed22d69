# SPDX-License-Identifier: Apache-2.0
"""The embedded checkpoint on two GPUs by `gpus` beside one GPU: the same chunk, and its time.

python bench/two_gpus.py [--device cuda] [--out FILE]

float32, guided, so that two processes can split the guidance, or the layers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.registry import Models

WAYS: dict[str, dict[str, int]] = {
    "guidance split": {"gpus": 2},
    "layers split": {"gpus": 2, "tensor_parallel": 2},
}
CHUNKS = 5


def measure(device: str, **split: int) -> tuple[np.ndarray, float]:
    """The first chunk of a seed, and the median of some more, ms."""
    models = Models(reasoner=False)
    try:
        policy = models.policy(
            PolicyModelParams(
                checkpoint=str(EMBEDDED),
                device=device,
                dtype="float32",
                guidance=3.0,
                deterministic=True,
                **split,  # type: ignore[arg-type]
            )
        )
        robot, random = policy.embodiment, np.random.default_rng(0)
        images = {
            view: random.integers(0, 255, (180, 320, 3), dtype=np.uint8) for view in robot.views
        }
        seen = Observation(images, robot.neutral_state(), "pick up the red cube", stamp=1)
        values, times = np.asarray(policy.infer(seen).chunk.values), []
        for _ in range(CHUNKS):
            begin = time.perf_counter()
            policy.infer(seen)
            times.append(time.perf_counter() - begin)
        return values, 1e3 * statistics.median(times)
    finally:
        models.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    alone, one = measure(chosen.device)
    found: dict[str, Any] = {"one": {"chunk_ms": round(one, 1)}}
    for name, split in WAYS.items():
        values, taken = measure(chosen.device, **split)
        away = float(np.abs(values - alone).max())
        found[name] = {"chunk_ms": round(taken, 1), "largest difference": away}
    report("python bench/two_gpus.py", ("torch", "numpy"), chosen.out, **found)


if __name__ == "__main__":
    main()
