# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 calibrate`: what a checkpoint's predictions are off by, undisturbed."""

from __future__ import annotations

import argparse
import pathlib

from .model.model_params import ModelParams
from .model.option_fields import add_arguments, finite_float
from .serve.cli import add_sampling
from .training.evaluation.surprise.training_size import NETWORKS, STEPS
from .training_cli.checks import check_ranges
from .training_cli.options import EVALUATED, WORKERS, fetch, sampling_options


def add_calibrate(commands: argparse._SubParsersAction) -> None:
    """Add `calibrate`."""
    parser = commands.add_parser(
        "calibrate",
        help="learn what undisturbed episodes look like beside what a checkpoint predicts, and "
        "keep it in its folder: the surprise of the policy node is judged by it",
    )
    parser.add_argument("checkpoint")
    parser.add_argument(
        "--dataset",
        type=pathlib.Path,
        help="a LeRobotDataset of undisturbed episodes, none of the training's, in place of the "
        "simulation",
    )
    parser.add_argument(
        "--task", default="basic", help="tasks of the simulation, as of `eval` (default: basic)"
    )
    parser.add_argument(
        "--episodes", type=int, default=20, help="of each task, or of the dataset (default: 20)"
    )
    parser.add_argument(
        "--disturbed",
        type=int,
        default=None,
        help="episodes of each task of the simulation in which something happens, in turn of every "
        "kind; without any, disturbances are made up (default: 10, with --dataset none)",
    )
    parser.add_argument(
        "--training-steps",
        type=int,
        default=STEPS,
        help=f"of each of {NETWORKS} small networks (default: {STEPS})",
    )
    parser.add_argument(
        "--limit", type=finite_float, default=8.0, help="s per episode (default: 8)"
    )
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        help="folder for what was seen in the simulation: a second call goes on where it stopped",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, help="file to write (default: in the checkpoint's folder)"
    )
    parser.add_argument("--workers", **WORKERS)
    add_arguments(parser, ModelParams, ("download",))
    # seeds are those of the calibration
    add_sampling(parser, EVALUATED, {"seed": "--noise-seed"})
    parser.set_defaults(function=_calibrate)


def _calibrate(chosen: argparse.Namespace) -> int:
    check_ranges(chosen)
    if chosen.dataset and chosen.disturbed:
        raise ValueError("--disturbed: expected none with --dataset, where nobody knows when")
    fetch(chosen)
    options = sampling_options(chosen)
    from .training.evaluation.surprise import calibration

    if chosen.dataset:
        from .model.policy import load_policy

        policy = load_policy(chosen.checkpoint, **dict(options))
        reference = calibration.calibrate_on_dataset(
            policy, chosen.dataset, chosen.episodes, chosen.training_steps
        )
    else:
        from .sim.tasks import parse_names
        from .training.evaluation.closed_loop import Trial

        tasks = parse_names(chosen.task)
        disturbed = 10 if chosen.disturbed is None else chosen.disturbed
        trials = [
            (Trial(chosen.checkpoint, task, seed, options=options, limit=chosen.limit), kind)
            for task, seed, kind in calibration.plan(tasks, chosen.episodes, disturbed)
        ]
        reference = calibration.calibrate_in_simulation(
            trials, chosen.keep, chosen.workers, chosen.training_steps
        )
    file = calibration.write(reference, chosen.checkpoint, chosen.out)
    about = reference.about
    print(
        f"{about['comparisons']} comparisons in {about['minutes']} min of {about['episodes']} "
        f"episodes; wrote {file}"
    )
    return 0
