# SPDX-License-Identifier: Apache-2.0
"""How far quantized weights and shorter sampling move the actions of a trained checkpoint.

python bench/lossy_error.py [--checkpoint FOLDER] [--device cpu] [--seeds 4] [--out
lossy_error.json]

Every way answers the same pictures with the same noise as the exact one; what differs is said in
mrad and as a ratio.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.checkpoint_io.loader import load_fast
from cosmos3_ros.model.interface import Observation, Prediction
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.tasks.standard import STANDARD

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "exact": ("none", {}),
    "other noise": ("none", {"seed": 1}),
    "fp8": ("fp8", {}),
    "int8": ("int8", {}),
    "nvfp4": ("nvfp4", {}),
    "guided once": ("none", {"guided_steps": 1}),
    "guided once, reused": ("none", {"guided_steps": 1, "reuse_guidance": True}),
    "2 steps": ("none", {"num_steps": 2}),
}


def observations(seeds: int) -> list[Observation]:
    """The first pictures of episodes of every task."""
    env = Env()
    try:
        return [env.reset(task, seed) for task in STANDARD for seed in range(seeds)]
    finally:
        env.close()


def difference(got: Prediction, exact: Prediction) -> dict[str, float]:
    """Error of the joints, mrad (RMS over the chunk), and of actions and latents as a ratio."""
    joints = 1e3 * float(np.sqrt(np.mean((got.chunk.values - exact.chunk.values)[:, :7] ** 2)))
    moved = exact.chunk.values - exact.chunk.values.mean(0)
    ratio = float(np.linalg.norm(got.chunk.values - exact.chunk.values) / np.linalg.norm(moved))
    video = float((got.latents - exact.latents).norm() / exact.latents.norm())
    return {"joints_mrad": joints, "actions_to_their_motion": ratio, "latents": video}


def measure(checkpoint: Path, device: str, seeds: int) -> dict[str, dict[str, float]]:
    """Medians over all pictures, by way."""
    seen, said, found = observations(seeds), {}, {}
    for name, (kind, options) in WAYS.items():
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model = load_fast(
            checkpoint, device, dtype, RuntimeOptions(generator=kind, text=kind), reasoner=False
        )
        policy = Cosmos3Policy(model, deterministic=True, **options)
        said[name] = [policy.infer(observation) for observation in seen]
        errors = [
            difference(got, exact) for got, exact in zip(said[name], said["exact"], strict=True)
        ]
        found[name] = {key: statistics.median(error[key] for error in errors) for key in errors[0]}
        print(
            f"{name:22}" + "  ".join(f"{key} {value:8.4f}" for key, value in found[name].items()),
            flush=True,
        )
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=None)
    chosen = parser.parse_args()
    folder = chosen.checkpoint or embedded_checkpoint()
    found: dict[str, Any] = dict(measure(folder, chosen.device, chosen.seeds))
    found |= {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "checkpoint": folder.name,
    }
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
