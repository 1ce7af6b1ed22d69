# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 collect`: demonstrations of experts as a LeRobotDataset."""

from __future__ import annotations

import argparse
import pathlib
import sys

from ..model.option_fields import finite_float
from .checks import check_world
from .options import DISTRACTORS, TASK, WORKERS, add_world


def add_collect(commands: argparse._SubParsersAction) -> None:
    """Add `collect`."""
    parser = commands.add_parser(
        "collect", help="record demonstrations of the scripted experts as a LeRobotDataset"
    )
    parser.add_argument("folder", type=pathlib.Path)
    add_world(parser)
    parser.add_argument("--task", **TASK)
    parser.add_argument("--episodes", type=int, default=100, help="of each task (default: 100)")
    parser.add_argument(
        "--seed", type=int, default=1_000_000, help="of the first episode (default: 1000000)"
    )
    parser.add_argument("--distractors", **DISTRACTORS)
    parser.add_argument(
        "--noise",
        type=finite_float,
        help="on the executed arm positions [rad] (default: 0.01); with --env a factor of that "
        "world's own (default: 1)",
    )
    parser.add_argument("--workers", **WORKERS)

    def function(chosen: argparse.Namespace) -> int:
        check_world(chosen)
        if chosen.env:
            return _collect_world(chosen)
        from ..sim.tasks import parse_names
        from ..training.data.demonstrations import Demonstration, collect

        noise = 0.01 if chosen.noise is None else chosen.noise
        wanted = [
            Demonstration(task, seed, chosen.distractors, noise=noise)
            for seed in range(chosen.seed, chosen.seed + chosen.episodes)
            for task in parse_names(chosen.task or "basic")
        ]
        collect(chosen.folder, wanted, chosen.workers)
        print(f"wrote {chosen.folder}")
        return 0

    parser.set_defaults(function=function)


def _collect_world(chosen: argparse.Namespace) -> int:
    """`collect --env`: demonstrations of a world's expert."""
    from ..training.worlds.own_environment import enter

    enter(chosen.env, sys.argv[1:])
    from ..training.worlds.catalog import open_world
    from ..training.worlds.recording import WorldDemonstration, collect
    from ..training.worlds.world import parse_tasks

    tasks = parse_tasks(open_world(chosen.env, chosen.protocol, exam=False), chosen.task or "")
    noise = 1.0 if chosen.noise is None else chosen.noise
    wanted = [
        WorldDemonstration(chosen.env, chosen.protocol, task, seed, noise)
        for task in tasks
        for seed in range(chosen.seed, chosen.seed + chosen.episodes)
    ]
    dropped = collect(chosen.folder, wanted, chosen.workers)
    said = ", ".join(f"{task} {count}" for task, count in dropped.items()) or "none"
    print(f"wrote {chosen.folder}: {len(wanted)} demonstrations; dropped as failed: {said}")
    return 0
