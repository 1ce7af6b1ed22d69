# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 eval`: tasks x seeds in closed loop, other worlds, and a page."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ..bringup.graph_options import Options
from ..bringup.middleware import require_environment
from ..model.model_params import PolicyModelParams
from ..model.option_fields import add_arguments, finite_float
from ..serve.cli import add_sampling
from .checks import check_expert, check_wording, check_world
from .options import (
    DISTRACTORS,
    EVALUATED,
    GRAPH,
    RUNTIME,
    TASK,
    WORKERS,
    add_world,
    fetch,
    given_options,
    sampling_options,
)


def add_eval(commands: argparse._SubParsersAction) -> None:
    """Add `eval`."""
    parser = commands.add_parser(
        "eval", help="how good a checkpoint is: tasks x seeds in closed loop, futures, a page"
    )
    parser.add_argument("checkpoint", help="a folder; with --env also: expert")
    add_world(parser)
    parser.add_argument(
        "--rows",
        type=int,
        default=0,
        help="with --env: of a chunk that are played before the policy is asked again (default: "
        "all)",
    )
    _add_episodes(parser)
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        help="json file for all that was measured; pictures go beside it",
    )
    parser.add_argument(
        "--page", type=pathlib.Path, help="measure also controls and futures, and write this page"
    )
    parser.add_argument(
        "--questions",
        action="store_true",
        help="only ask the reasoner, at two moments of an episode",
    )
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="SETTING",
        help="sample otherwise, too, on the same seeds: num_steps=2,shift=1.67 or latency=0.2; "
        "again for another way; a paired table",
    )
    parser.add_argument(
        "--expert-error",
        action="store_true",
        help="only compare with the expert's actions, at each noise level of the steps",
    )

    add_arguments(
        parser,
        PolicyModelParams,
        ("download", "device", "dtype", *RUNTIME),
        defaults={"device": "cpu"},
    )
    nodes = parser.add_argument_group("with --through nodes")
    add_arguments(nodes, Options, GRAPH)
    nodes.add_argument(
        "--robot",
        default="",
        help="with --env: robot file that plays the world (default: the one of the world's name)",
    )
    # --seed is that of the scene
    add_sampling(parser, EVALUATED, {"seed": "--noise-seed"})
    parser.set_defaults(function=_eval)


def _add_episodes(parser: argparse.ArgumentParser) -> None:
    """Which episodes `eval` plays, and how."""
    parser.add_argument("--task", "--suite", **TASK)
    parser.add_argument(
        "--episodes", type=int, help="of each task (default: 20; with --env its protocol's)"
    )
    parser.add_argument(
        "--seed",
        dest="scene",
        type=int,
        help="of the first episode (default: 0; with --env its protocol's)",
    )
    parser.add_argument("--distractors", **DISTRACTORS)
    parser.add_argument(
        "--wording", type=int, default=0, help="which way to ask; -1: the one never trained on"
    )
    parser.add_argument(
        "--latency", type=finite_float, default=0.3, help="s from pictures to chunk (default: 0.3)"
    )
    parser.add_argument(
        "--limit", type=finite_float, default=10.0, help="s per episode (default: 10)"
    )
    parser.add_argument("--workers", **WORKERS)
    parser.add_argument(
        "--through",
        default="process",
        help="process, nodes or both with a comma (default: process)",
    )


def _eval(chosen: argparse.Namespace) -> int:
    if "nodes" in chosen.through.split(","):
        require_environment()
    check_world(chosen)
    if chosen.env:
        return _eval_world(chosen)
    fetch(chosen)
    from ..sim.tasks import parse_names

    first, count = chosen.scene or 0, 20 if chosen.episodes is None else chosen.episodes
    tasks, seeds = parse_names(chosen.task or "basic"), range(first, first + count)
    check_wording(chosen.wording, tasks)
    if chosen.questions:
        from ..training.evaluation.reasoner_accuracy import quiz_table, reasoner_accuracy

        answers = reasoner_accuracy(chosen.checkpoint, seeds, tasks, workers=chosen.workers)
        print(quiz_table(answers))
        return 0
    options, runtime = sampling_options(chosen), _runtime(chosen)
    graph = given_options(chosen, Options, GRAPH)
    through = chosen.through.split(",")
    if graph and (chosen.expert_error or "nodes" not in through):
        raise ValueError(f"{graph[0][0]}: expected --through nodes, which alone have it")
    if chosen.expert_error:
        return _expert_error(chosen, tasks, seeds, runtime)
    from ..training.evaluation.closed_loop import Trial
    from ..training.evaluation.comparison import parse_setting
    from ..training.evaluation.suite import report

    settings = [parse_setting(text, dict(options)) for text in chosen.compare]
    fixed = {name: getattr(chosen, name) for name in ("wording", "distractors", "latency", "limit")}
    trials = [
        Trial(chosen.checkpoint, task, seed, graph=graph, **fixed, **runtime)
        for task in tasks
        for seed in seeds
    ]
    print(report(trials, through, chosen.workers, chosen.out, chosen.page, settings=settings))
    return 0


def _runtime(chosen: argparse.Namespace) -> dict[str, Any]:
    """How the policy samples and runs: fields of a Trial, and of a Candidate."""
    from ..model.runtime.device import resolve

    device, dtype = resolve(chosen.device, chosen.dtype)
    runtime = given_options(chosen, PolicyModelParams, RUNTIME)
    PolicyModelParams(**dict(runtime))  # says what does not fit
    options = sampling_options(chosen)
    return {"options": options, "device": device, "dtype": dtype, "runtime": runtime}


def _eval_world(chosen: argparse.Namespace) -> int:
    """`eval --env`: an expert or a checkpoint by a world's protocol."""
    if chosen.checkpoint == "expert":
        check_expert(chosen)
    else:
        fetch(chosen)
    from ..training.worlds.own_environment import enter

    enter(chosen.env, sys.argv[1:])
    from ..training.worlds.catalog import open_world
    from ..training.worlds.exam import EXPERT, Candidate, Exam, examine
    from ..training.worlds.world import parse_tasks

    world = open_world(chosen.env, chosen.protocol, chosen.scene)
    rules = world.protocol
    exam = Exam(
        chosen.env,
        chosen.protocol,
        tuple(parse_tasks(world, chosen.task or "")),
        rules.seed if chosen.scene is None else chosen.scene,
        rules.episodes if chosen.episodes is None else chosen.episodes,
    )
    who = Candidate(EXPERT)
    if chosen.checkpoint != EXPERT:
        who = Candidate(
            chosen.checkpoint,
            chosen.rows,
            through=chosen.through,
            robot=chosen.robot,
            **_runtime(chosen),
        )
    print(examine(who, exam, world, chosen.workers, chosen.out))
    return 0


def _expert_error(
    chosen: argparse.Namespace,
    tasks: Iterable[str],
    seeds: Iterable[int],
    runtime: Mapping[str, Any],
) -> int:
    from ..training.data.demonstrations import Demonstration
    from ..training.evaluation import expert_error

    trials = [
        expert_error.ErrorTrial(
            chosen.checkpoint, Demonstration(task, seed, chosen.distractors), **runtime
        )
        for task in tasks
        for seed in seeds
    ]
    print(expert_error.report_errors(trials, chosen.workers, chosen.out))
    return 0
