# SPDX-License-Identifier: Apache-2.0
"""The trainings of `video_students`: as `cosmos3 train` does, for so many seconds."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cosmos3_ros.training import train as training
from cosmos3_ros.training.options import PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe

NO_END = 10**9


def make_recipe(chosen: argparse.Namespace, **parts: Any) -> Recipe:
    """A recipe without policy training."""
    idle = PolicyTrainingOptions(steps=0)
    return Recipe(device=chosen.device, embodiment="droid_sim", policy=idle, **parts)


def limits(chosen: argparse.Namespace) -> dict[str, Any]:
    """What every training of the bench has: its seconds end it, and nothing else does."""
    ends = {"steps": NO_END, "refresh": NO_END, "save": NO_END}
    return {**ends, "batch": chosen.batch, "rate": chosen.rate, "warmup": 50}


def run(recipe: Recipe, out: Path, name: str) -> tuple[Path, list[dict[str, Any]]]:
    """Train as `cosmos3 train` does; the checkpoint and the lines of the log."""
    began = time.monotonic()
    print(f"-- {name}", flush=True)
    folder = training.train(recipe, out, lambda line: print(line, flush=True))
    print(f"-- {name}: {time.monotonic() - began:.0f} s", flush=True)
    return folder, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def curve(log: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The losses at the beginning and at the end: means of the first and the last tenth."""
    lines = [line for line in log if names[0] in line]
    tenth = max(1, len(lines) // 10)
    ends = (("first", lines[:tenth]), ("last", lines[-tenth:]))
    means = {
        f"{name}_{end}": statistics.fmean(line[name] for line in some)
        for name in names
        for end, some in ends
    }
    return {"steps": lines[-1]["step"], **means}
