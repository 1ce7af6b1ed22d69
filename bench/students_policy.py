# SPDX-License-Identifier: Apache-2.0
"""The students of the policy of `video_students`: trained, and beside their teacher."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from students_recordings import ROBOT, Taken
from students_training import curve, limits, make_recipe, run

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training import train as training
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.evaluation.closed_loop import Outcome, Trial, run_trial
from cosmos3_ros.training.evaluation.comparison import compare as compare_success
from cosmos3_ros.training.evaluation.comparison import compared_table
from cosmos3_ros.training.options import DataOptions, ObjectiveOptions


def policy_student(
    chosen: argparse.Namespace, levels: tuple[float, ...], taken: Sequence[Taken]
) -> tuple[Path, dict[str, Any]]:
    """A student with these levels, of the same recordings as all others."""
    training.make_clips = lambda *_: (one.clip for one in taken)  # type: ignore[assignment]
    name = f"policy_student_{len(levels)}"
    recipe = make_recipe(
        chosen,
        start=str(EMBEDDED),
        data=DataOptions(warm_up=len(taken)),
        objective=ObjectiveOptions(vision=2.0),
        distill=DistillOptions(
            levels=levels,
            substeps=4 if len(levels) > 1 else 8,
            ahead=8,
            guidance=chosen.policy_guidance,
            seconds=chosen.policy,
            **limits(chosen),
        ),
    )
    folder, log = run(recipe, chosen.work / name, name)
    return folder, curve(log, ("action", "vision"))


def chunk_differences(
    chosen: argparse.Namespace, ways: dict[str, tuple[Path, dict[str, Any]]], held: Sequence[Taken]
) -> dict[str, Any]:
    """Mean and 95 % quantile of |arm row - teacher's of 32 steps|, mrad, with the same noise."""
    common = {"deterministic": True, "guidance": chosen.policy_guidance, "future_steps": 1}
    arm = [not column.gripper for column in ROBOT.action]
    seen = [observation for one in held for observation in one.seen]

    def chunks(folder: Path, options: dict[str, Any]) -> np.ndarray:
        policy = load_policy(folder, "droid_sim", chosen.device, torch.float32, **common, **options)
        return np.stack([policy.infer(one).chunk.values for one in seen])[..., arm]

    exact, found = chunks(EMBEDDED, {"num_steps": 32}), {}
    for name, (folder, options) in ways.items():
        error = 1000 * np.abs(chunks(folder, options) - exact)
        found[name] = {
            "mean_mrad": round(float(error.mean()), 2),
            "q95_mrad": round(float(np.quantile(error, 0.95)), 2),
        }
    return {"observations": len(seen), **found}


def examine(
    chosen: argparse.Namespace, ways: dict[str, tuple[Path, dict[str, Any]]]
) -> dict[str, list[Outcome]]:
    """Closed loop of every way on the same tasks and seeds, as far as the time goes."""
    until = time.monotonic() + chosen.exam
    common = {"guidance": chosen.policy_guidance, "future_steps": 1}
    trials = {
        (name, task, seed): Trial(
            str(folder), task, seed, options=tuple({**common, **options}.items())
        )
        for seed in range(chosen.episodes)
        for task in chosen.tasks.split(",")
        for name, (folder, options) in ways.items()
    }
    names = {(one.checkpoint, one.options): name for (name, _, _), one in trials.items()}
    found: dict[str, list[Outcome]] = {name: [] for name in ways}
    jobs = list(trials.values())
    for trial, outcome in in_parallel(_examined, jobs, max(1, chosen.workers - 2)):
        found[names[trial.checkpoint, trial.options]].append(outcome)
        if time.monotonic() > until:
            break
    return found


def _examined(trial: Trial) -> tuple[Trial, Outcome]:
    return trial, run_trial(trial)[0]


def paired(found: dict[str, list[Outcome]], base: str) -> dict[str, Any]:
    """Every way beside `base` on the episodes that all have played."""
    keys = [{(one.task, one.seed) for one in outcomes} for outcomes in found.values()]
    common = set.intersection(*keys)
    kept = {
        name: [dataclasses.asdict(one) for one in outcomes if (one.task, one.seed) in common]
        for name, outcomes in found.items()
    }
    rows: dict[str, Any] = {"episodes": len(common)}
    for name, episodes in kept.items():
        rows[name] = {"solved": sum(one["success"] for one in episodes)}
        if name != base and common:
            rows[name]["paired"] = table = compare_success(kept[base], episodes)
            print(f"{base} beside {name}\n{compared_table(table)}", flush=True)
    return rows
