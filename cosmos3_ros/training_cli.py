# SPDX-License-Identifier: Apache-2.0
"""The commands `cosmos3 collect`, `train` and `eval`: demonstrations, trainings, measurements."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .bringup.graph_options import Options
from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments, argument_values, fields, finite_float
from .model.policy_options import PolicyOptions
from .serve.cli import SAMPLING_FLAGS, add_sampling

_TASK: dict[str, Any] = {
    "help": "tasks of the simulation, with commas, or a suite: basic, hard or all (default: "
    "basic); with --env tasks and groups of that world (default: all)",
}
# Defaults of the sampling options of `eval`; they are always written to what it measured.
EVALUATED = {"num_steps": 4, "guidance": 1.0, "future_steps": 1}
# How `eval` runs the policy, and how the nodes do if it goes through them.
RUNTIME = ("compile", "cuda_graphs", "weights", "attention", "text_weights", "placement")
GRAPH = ("strategy", "image_transport", "gpus", "tensor_parallel")


# Numbers of `eval`, `collect` and `calibrate`: the least and the most that mean something.
_RANGES: dict[str, tuple[float, float]] = {
    "episodes": (1, 1_000_000),
    "disturbed": (0, 1_000_000),
    "training_steps": (1, 1_000_000),
    "workers": (0, 1024),
    "rows": (0, 1024),  # the chunk's own number is known when the checkpoint is loaded
    "distractors": (0, 2),
    "noise": (0, 1),  # rad
    "limit": (0.01, 3600),  # s
    "latency": (0, 3600),  # s
}
_MOST_NOISE = 100  # with --env, where it is a factor
_LARGEST_SEED = 2**32 - 1  # of numpy's global generator, which worlds may use
# Options of `eval` and `collect` that only the simulation's own tasks have, with their defaults.
OWN: dict[str, Any] = {
    "wording": 0,
    "distractors": 2,
    "latency": 0.3,
    "limit": 10.0,
    "page": None,
    "questions": False,
    "compare": [],
    "expert_error": False,
}


def add_training(commands: argparse._SubParsersAction) -> None:
    """Add `collect`, `train` and `eval`."""
    _add_collect(commands)
    _add_train(commands)
    _add_eval(commands)


def _add_collect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "collect", help="record demonstrations of the scripted experts as a LeRobotDataset"
    )
    parser.add_argument("folder", type=pathlib.Path)
    _add_world(parser)
    parser.add_argument("--task", **_TASK)
    parser.add_argument("--episodes", type=int, default=100, help="of each task (default: 100)")
    parser.add_argument(
        "--seed", type=int, default=1_000_000, help="of the first episode (default: 1000000)"
    )
    parser.add_argument(
        "--distractors", type=int, default=2, help="the most cubes that take no part (default: 2)"
    )
    parser.add_argument(
        "--noise",
        type=finite_float,
        help="on the executed arm positions [rad] (default: 0.01); with --env a factor of that "
        "world's own (default: 1)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes, 0 for one per core (default: 0)"
    )

    def function(chosen: argparse.Namespace) -> int:
        _check_world(chosen)
        if chosen.env:
            return _collect_world(chosen)
        from .sim.tasks import parse_names
        from .training.data.demonstrations import Demonstration, collect

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


def _add_world(parser: argparse.ArgumentParser) -> None:
    """Which world to play instead of the simulation's own tasks."""
    parser.add_argument(
        "--env",
        default="",
        help="another world: metaworld, gym:ID, sim or that of an installed package "
        "(docs/worlds.md)",
    )
    parser.add_argument(
        "--protocol", default="", help="with --env: evo1 or lerobot of metaworld (default: evo1)"
    )


def _check_world(chosen: argparse.Namespace) -> None:
    """ValueError for options of another world without --env, and for our own tasks' with it."""
    _check_numbers(chosen)
    if not chosen.env:
        if given := [name for name in ("protocol", "rows", "robot") if getattr(chosen, name, None)]:
            raise ValueError(f"--{given[0]}: expected --env, which alone has it")
        return
    values = vars(chosen)
    given = [name for name, default in OWN.items() if values.get(name, default) != default]
    given += [name for name, _ in _given(chosen, Options, GRAPH)]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')}: not known of --env {chosen.env}")
    if getattr(chosen, "robot", "") and chosen.through != "nodes":
        raise ValueError("--robot: expected --through nodes, which alone has it")
    if getattr(chosen, "through", "process") not in ("process", "nodes"):
        raise ValueError(f"--through: expected process or nodes with --env, got {chosen.through!r}")


def _check_numbers(chosen: argparse.Namespace) -> None:
    """ValueError for a number of episodes, a seed and so on that there cannot be."""
    check_ranges(chosen)
    values = vars(chosen)
    latency = values.get("latency", OWN["latency"])  # its default goes with any limit
    if latency != OWN["latency"] and latency > (limit := values.get("limit", latency)):
        raise ValueError(f"--latency: expected at most --limit, {limit}, got {latency}")
    seed = values.get("scene", values.get("seed")) or 0
    last = _LARGEST_SEED + 1 - (chosen.episodes or 1)
    if not 0 <= seed <= last:
        raise ValueError(f"--seed: expected 0 to {last}, got {seed}")


def check_ranges(chosen: argparse.Namespace) -> None:
    """ValueError for a number of episodes, seconds and so on that is too small or too large."""
    values = vars(chosen)
    for name, (least, most) in _RANGES.items():
        high = _MOST_NOISE if name == "noise" and values.get("env") else most
        if (number := values.get(name)) is not None and not least <= number <= high:
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag}: expected {least} to {high}, got {number}")


def _check_wording(wording: int, tasks: Iterable[str]) -> None:
    """ValueError unless all tasks have so many wordings; -1 is the last one."""
    from .sim.tasks import find

    most = min(len(find(task).wordings) for task in tasks) - 1
    if not -1 <= wording <= most:
        raise ValueError(f"--wording: expected -1 to {most}, got {wording}")


def _check_expert(chosen: argparse.Namespace) -> None:
    """ValueError for options of a policy, of which an expert has none."""
    sampling = dict(sampling_options(chosen))
    given = ["rows"] if chosen.rows else []
    given += [name for name, value in sampling.items() if EVALUATED.get(name) != value]
    given += [name for name, _ in _given(chosen, PolicyModelParams, RUNTIME)]
    if given:
        flag = SAMPLING_FLAGS.get(given[0], f"--{given[0].replace('_', '-')}")
        raise ValueError(f"{flag}: expected a checkpoint; the expert has no policy")
    if chosen.through != "process":
        raise ValueError("--through: expected process for the expert, which sees no picture")


def _collect_world(chosen: argparse.Namespace) -> int:
    """`collect --env`: demonstrations of a world's expert."""
    from .training.worlds.own_environment import enter

    enter(chosen.env, sys.argv[1:])
    from .training.worlds.catalog import open_world
    from .training.worlds.recording import WorldDemonstration, collect
    from .training.worlds.world import parse_tasks

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


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train", help="train a checkpoint by a recipe; a second call goes on where it stopped"
    )
    parser.add_argument(
        "--recipe", type=pathlib.Path, required=True, help="YAML file, see training/recipes"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out/train"), help="(default: out/train)"
    )
    parser.add_argument(
        "changes",
        nargs="*",
        metavar="KEY=VALUE",
        help="instead of the recipe's: policy.seconds=600",
    )

    def function(chosen: argparse.Namespace) -> int:
        from .training.recipe import read_recipe
        from .training.worlds.own_environment import enter

        recipe = read_recipe(chosen.recipe, chosen.changes)
        enter(recipe.data.env, sys.argv[1:])
        from .training.train import train

        train(recipe, chosen.out)
        return 0

    parser.set_defaults(function=function)


def _add_eval(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "eval", help="how good a checkpoint is: tasks x seeds in closed loop, futures, a page"
    )
    parser.add_argument("checkpoint", help="a folder; with --env also: expert")
    _add_world(parser)
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
    parser.add_argument("--task", "--suite", **_TASK)
    parser.add_argument(
        "--episodes", type=int, help="of each task (default: 20; with --env its protocol's)"
    )
    parser.add_argument(
        "--seed",
        dest="scene",
        type=int,
        help="of the first episode (default: 0; with --env its protocol's)",
    )
    parser.add_argument(
        "--distractors", type=int, default=2, help="the most cubes that take no part (default: 2)"
    )
    parser.add_argument(
        "--wording", type=int, default=0, help="which way to ask; -1: the one never trained on"
    )
    parser.add_argument(
        "--latency", type=finite_float, default=0.3, help="s from pictures to chunk (default: 0.3)"
    )
    parser.add_argument(
        "--limit", type=finite_float, default=10.0, help="s per episode (default: 10)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes, 0 for one per core (default: 0)"
    )
    parser.add_argument(
        "--through",
        default="process",
        help="process, nodes or both with a comma (default: process)",
    )


def fetch(chosen: argparse.Namespace) -> None:
    """With --download, `checkpoint` may be a name on the Hugging Face Hub: here it is a folder."""
    from .model.checkpoint_io.foreign import find_folder

    if chosen.download:
        chosen.checkpoint = str(find_folder(chosen.checkpoint, download=True))


def _eval(chosen: argparse.Namespace) -> int:
    _check_world(chosen)
    if chosen.env:
        return _eval_world(chosen)
    fetch(chosen)
    from .sim.tasks import parse_names

    first, count = chosen.scene or 0, 20 if chosen.episodes is None else chosen.episodes
    tasks, seeds = parse_names(chosen.task or "basic"), range(first, first + count)
    _check_wording(chosen.wording, tasks)
    if chosen.questions:
        from .training.evaluation.reasoner_accuracy import quiz_table, reasoner_accuracy

        answers = reasoner_accuracy(chosen.checkpoint, seeds, tasks, workers=chosen.workers)
        print(quiz_table(answers))
        return 0
    options, runtime = sampling_options(chosen), _runtime(chosen)
    graph = _given(chosen, Options, GRAPH)
    through = chosen.through.split(",")
    if graph and (chosen.expert_error or "nodes" not in through):
        raise ValueError(f"{graph[0][0]}: expected --through nodes, which alone have it")
    if chosen.expert_error:
        return _expert_error(chosen, tasks, seeds, runtime)
    from .training.evaluation.closed_loop import Trial
    from .training.evaluation.comparison import parse_setting
    from .training.evaluation.suite import report

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
    from .model.runtime.device import resolve

    device, dtype = resolve(chosen.device, chosen.dtype)
    runtime = _given(chosen, PolicyModelParams, RUNTIME)
    PolicyModelParams(**dict(runtime))  # says what does not fit
    options = sampling_options(chosen)
    return {"options": options, "device": device, "dtype": dtype, "runtime": runtime}


def _eval_world(chosen: argparse.Namespace) -> int:
    """`eval --env`: an expert or a checkpoint by a world's protocol."""
    if chosen.checkpoint == "expert":
        _check_expert(chosen)
    else:
        fetch(chosen)
    from .training.worlds.own_environment import enter

    enter(chosen.env, sys.argv[1:])
    from .training.worlds.catalog import open_world
    from .training.worlds.exam import EXPERT, Candidate, Exam, examine
    from .training.worlds.world import parse_tasks

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


def sampling_options(chosen: argparse.Namespace) -> tuple[tuple[str, Any], ...]:
    """Name and value of the policy options in force: those of EVALUATED, and what was changed."""
    given = argument_values(chosen, PolicyOptions)
    return tuple(
        (name, given[name])
        for name, field in fields(PolicyOptions).items()
        if name in EVALUATED or given[name] != field.default
    )


def _given(
    chosen: argparse.Namespace, cls: Any, names: Collection[str]
) -> tuple[tuple[str, Any], ...]:
    """Name and value of the options of these names that are not as `cls` has them."""
    values, known = argument_values(chosen, cls, names), fields(cls)
    return tuple(
        (name, values[name])
        for name in names
        if name in values and values[name] != known[name].default
    )


def _expert_error(
    chosen: argparse.Namespace,
    tasks: Iterable[str],
    seeds: Iterable[int],
    runtime: Mapping[str, Any],
) -> int:
    from .training.data.demonstrations import Demonstration
    from .training.evaluation import expert_error

    trials = [
        expert_error.ErrorTrial(
            chosen.checkpoint, Demonstration(task, seed, chosen.distractors), **runtime
        )
        for task in tasks
        for seed in seeds
    ]
    print(expert_error.report_errors(trials, chosen.workers, chosen.out))
    return 0
