# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3`.

Each subcommand imports what it needs: one works where another's libraries are absent.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from .bringup.node_graph import Options
from .embodiment_cli import add_embodiment
from .model.embodiment import EMBODIMENTS, SIMULATED
from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments, argument_values, fields, finite_float
from .model.policy_options import PolicyOptions
from .serve.cli import add_reasoner_options, add_sampling, add_serve, reasoner_params
from .task_cli import add_task

ROS = (
    "rclpy",
    "sensor_msgs",
    "std_srvs",
    "cosmos3_ros.msg",
    "cosmos3_ros.srv",
    "ament_index_python",
)
_TASK = {
    "default": "trained",
    "help": "tasks of the simulation, with commas, or a suite: trained, hard or all "
    "(default: trained, what the embedded checkpoint was trained for)",
}
# Defaults of the sampling options of `eval`; they are always written to what it measured.
EVALUATED = {"num_steps": 4, "guidance": 1.0, "future_steps": 1}
# How `eval` runs the policy, and how the nodes do if it goes through them.
RUNTIME = ("compile", "cuda_graphs", "weights", "attention", "text_weights", "placement")
GRAPH = ("strategy", "image_transport", "gpus", "tensor_parallel")
# Options of the graph that demo and replay leave to the user; `run` has all of them.
SHARED = (
    "robot",
    "checkpoint",
    "device",
    "policy_url",
    "policy_dialect",
    "policy_token_file",
    "reasoner",
    "remote_url",
    "remote_model",
    "remote_token_file",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; an expected error is one line on stderr and exit code 1."""
    parser = argparse.ArgumentParser(
        "cosmos3", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_demo(commands)
    _add_replay(commands)
    _add_ask(commands)
    add_task(commands)
    _add_inspect(commands)
    _add_tiny(commands)
    _add_collect(commands)
    _add_demonstrate(commands)
    _add_record(commands)
    _add_convert(commands)
    add_embodiment(commands)
    _add_train(commands)
    _add_eval(commands)
    add_serve(commands)
    chosen = parser.parse_args(arguments)
    try:
        return chosen.function(chosen) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # as shells say it
    except ModuleNotFoundError as error:
        ros = (
            "; this needs ROS 2: source its setup.bash, or use `make`" if error.name in ROS else ""
        )
        print(f"error: {error}{ros}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        text = (
            f"{error.filename}: {error.strerror}"
            if isinstance(error, OSError) and error.filename
            else str(error)
        )
        print("error:", *text.split(), file=sys.stderr)
        return 1


def _add_options(parser: argparse._ActionsContainer, *names: str) -> None:
    """One command line option for each of these fields of `Options`, by default for all."""
    add_arguments(parser, Options, names)


def _options(chosen: argparse.Namespace, **fixed: object) -> Options:
    return Options(**argument_values(chosen, Options) | fixed)


def _add_run(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("run", help="start the node graph without the ROS command line")
    _add_options(parser)

    def function(chosen: argparse.Namespace) -> int:
        import rclpy  # noqa: F401  # without it nothing would start

        from .bringup.node_graph import processes
        from .bringup.process_runner import run

        return run(processes(_options(chosen)))

    parser.set_defaults(function=function)


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("demo", help="drive the simulated arm and show what happened")
    parser.add_argument("--episodes", type=int, default=3, help="episodes per task (default: 3)")
    parser.add_argument(
        "--task",
        default="",
        help="tasks of the simulation, with commas (default: those that the checkpoint was "
        "trained for)",
    )
    parser.add_argument(
        "--time-limit", type=finite_float, default=12.0, help="seconds per episode (default: 12)"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("out/demo"),
        help="folder for what it writes (default: out/demo)",
    )
    parser.add_argument(
        "--view", action="store_true", help="show the cameras in a window while it runs"
    )
    _add_options(parser, *SHARED, "seed")

    def function(chosen: argparse.Namespace) -> int:
        from .apps.demo import demo

        options = _options(chosen, task="reach", log_level="warn")
        return demo(
            options, chosen.task, chosen.episodes, chosen.time_limit, chosen.out, chosen.view
        )

    parser.set_defaults(function=function)


def _add_replay(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "replay", help="feed a recorded clip with a joint log through the nodes"
    )
    parser.add_argument(
        "video",
        nargs="+",
        help="VIEW=FILE for each camera view, or one FILE if the embodiment has one view",
    )
    parser.add_argument(
        "--joints",
        type=pathlib.Path,
        help="CSV: a column `time` [s from the first frame] and one per joint",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=0,
        help="stop after this many frames (default: the whole clip)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("out/replay"),
        help="folder for what it writes",
    )
    _add_options(parser, *SHARED, "instruction")
    parser.set_defaults(robot="droid_single_view")

    def function(chosen: argparse.Namespace) -> int:
        from .apps.replay import replay

        options = _options(chosen, sim=False, commander=False)
        return replay(options, chosen.video, chosen.joints, chosen.frames, chosen.out)

    parser.set_defaults(function=function)


def _add_ask(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "ask", help="ask the reasoner about pictures and videos, without ROS"
    )
    parser.add_argument("question")
    parser.add_argument(
        "file",
        nargs="*",
        type=pathlib.Path,
        help="images, and videos (mp4, ...) of which two frames a second are looked at",
    )
    add_reasoner_options(parser, max_tokens=128, compiled=False)

    def function(chosen: argparse.Namespace) -> int:
        from .model.registry import ask

        # a single question is answered before the compiler is done
        params = reasoner_params(chosen, compiled=False)
        print(ask(chosen.question, chosen.file, params))
        return 0

    parser.set_defaults(function=function)


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "inspect", help="what a checkpoint folder holds and needs, before anything is loaded"
    )
    parser.add_argument("checkpoint", type=pathlib.Path)

    def function(chosen: argparse.Namespace) -> int:
        from .model.checkpoint_io.summary import report

        print(report(chosen.checkpoint))
        return 0

    parser.set_defaults(function=function)


def _add_tiny(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "tiny", help="write a small random checkpoint of the same architecture"
    )
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0, help="of the weights (default: 0)")
    parser.add_argument(
        "--embodiment",
        default=SIMULATED.name,
        help="what its policy is for, by name or file; a robot file names its own: "
        f"{', '.join(EMBODIMENTS)} (default: {SIMULATED.name})",
    )

    def function(chosen: argparse.Namespace) -> int:
        from .model.checkpoint_io.tiny import write_tiny

        write_tiny(chosen.folder, seed=chosen.seed, embodiment=chosen.embodiment)
        print(f"wrote {chosen.folder}, for the embodiment {chosen.embodiment}")
        return 0

    parser.set_defaults(function=function)


def _add_collect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "collect", help="record demonstrations of the scripted experts as a LeRobotDataset"
    )
    parser.add_argument("folder", type=pathlib.Path)
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
        default=0.01,
        help="on the executed arm positions [rad] (default: 0.01)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="processes, 0 for one per core (default: 0)"
    )

    def function(chosen: argparse.Namespace) -> int:
        from .sim.tasks import parse_names
        from .training.data.demonstrations import Demonstration, collect

        wanted = [
            Demonstration(task, seed, chosen.distractors, noise=chosen.noise)
            for seed in range(chosen.seed, chosen.seed + chosen.episodes)
            for task in parse_names(chosen.task)
        ]
        collect(chosen.folder, wanted, chosen.workers)
        print(f"wrote {chosen.folder}")
        return 0

    parser.set_defaults(function=function)


def _add_demonstrate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demonstrate", help="a scripted expert moves the simulated robot of a scene file, over ROS"
    )
    _add_options(parser, "robot")
    parser.add_argument(
        "--task", default="", help="of the scene file, with commas (default: all of them)"
    )
    parser.add_argument("--episodes", type=int, default=10, help="of each task (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (default: 0)")

    def function(chosen: argparse.Namespace) -> int:
        from .apps.demonstration import demonstrate

        return demonstrate(chosen.robot, chosen.task, chosen.episodes, chosen.seed)

    parser.set_defaults(function=function)


def _add_record(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "record", help="record a robot's topics into a bag, as `ros2 bag record` does"
    )
    parser.add_argument("folder", type=pathlib.Path, help="new folder of the recording")
    _add_options(parser, "robot")
    parser.add_argument(
        "--transport", choices=("compressed", "raw"), default="compressed", help="of the pictures"
    )

    def function(chosen: argparse.Namespace) -> int:
        from .apps.bag_recorder import record

        return record(chosen.folder, chosen.robot, chosen.transport)

    parser.set_defaults(function=function)


def _add_convert(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "convert", help="make a LeRobotDataset of rosbag2 recordings, for `cosmos3 train`"
    )
    parser.add_argument(
        "bag", nargs="+", type=pathlib.Path, help="folder of a recording, or one .mcap or .db3 file"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder of the dataset, new or empty"
    )
    _add_options(parser, "robot")
    parser.add_argument(
        "--instruction", default="", help="what was done, where the bag does not say it"
    )
    parser.add_argument(
        "--actions",
        default="",
        help="only from this topic, or `measured` (default: what is commanded)",
    )
    parser.add_argument(
        "--gap",
        type=finite_float,
        default=0.25,
        help="s without a picture that end an episode (default: 0.25)",
    )
    parser.add_argument(
        "--shortest", type=finite_float, default=1.0, help="s of an episode (default: 1)"
    )
    parser.add_argument(
        "--height",
        type=int,
        default=360,
        help="shrink larger pictures to it; 0: keep (default: 360)",
    )

    def function(chosen: argparse.Namespace) -> int:
        from .training.data.rosbag_to_lerobot import ConvertOptions, convert

        fields = {
            field.name: getattr(chosen, field.name) for field in dataclasses.fields(ConvertOptions)
        }
        convert(chosen.bag, chosen.out, chosen.robot, ConvertOptions(**fields))
        print(f"wrote {chosen.out}")
        return 0

    parser.set_defaults(function=function)


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
        from .training.train import train

        train(read_recipe(chosen.recipe, chosen.changes), chosen.out)
        return 0

    parser.set_defaults(function=function)


def _add_eval(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "eval", help="how good a checkpoint is: tasks x seeds in closed loop, futures, a page"
    )
    parser.add_argument("checkpoint")
    parser.add_argument("--task", "--suite", **_TASK)
    parser.add_argument("--episodes", type=int, default=20, help="of each task (default: 20)")
    parser.add_argument(
        "--seed", dest="scene", type=int, default=0, help="of the first episode (default: 0)"
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
        parser, PolicyModelParams, ("device", "dtype", *RUNTIME), defaults={"device": "cpu"}
    )
    nodes = parser.add_argument_group("with --through nodes")
    _add_options(nodes, *GRAPH)
    # --seed is that of the scene
    add_sampling(parser, EVALUATED, {"seed": "--noise-seed"})
    parser.set_defaults(function=_eval)


def _eval(chosen: argparse.Namespace) -> int:
    from .sim.tasks import parse_names

    tasks, seeds = parse_names(chosen.task), range(chosen.scene, chosen.scene + chosen.episodes)
    if chosen.questions:
        from .training.evaluation.reasoner_accuracy import quiz_table, reasoner_accuracy

        answers = reasoner_accuracy(chosen.checkpoint, seeds, tasks, workers=chosen.workers)
        print(quiz_table(answers))
        return 0
    given = argument_values(chosen, PolicyOptions)
    options = tuple(
        (name, given[name])
        for name, field in fields(PolicyOptions).items()
        if name in EVALUATED or given[name] != field.default
    )
    from .model.runtime.device import resolve

    device, dtype = resolve(chosen.device, chosen.dtype)
    runtime: dict[str, Any] = {"options": options, "device": device, "dtype": dtype}
    runtime["runtime"] = _given(chosen, PolicyModelParams, RUNTIME)
    PolicyModelParams(**dict(runtime["runtime"]))  # says what does not fit
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


def _given(
    chosen: argparse.Namespace, cls: Any, names: Iterable[str]
) -> tuple[tuple[str, Any], ...]:
    """Name and value of the options of these names that are not as `cls` has them."""
    mine = argparse.Namespace(**{name: getattr(chosen, name) for name in names})
    values, known = argument_values(mine, cls), fields(cls)
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


if __name__ == "__main__":
    sys.exit(main())
