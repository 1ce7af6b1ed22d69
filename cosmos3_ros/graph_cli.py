# SPDX-License-Identifier: Apache-2.0
"""The commands that start the node graph, or run beside it: `cosmos3 run`, `view`, `demo` and more.

`replay`, `demonstrate` and `record` are the others.
"""

from __future__ import annotations

import argparse
import pathlib

from .bringup.graph_options import Options
from .bringup.middleware import require_environment
from .model.option_fields import add_arguments, argument_values, finite_float

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
# Options of the console.
VIEW = ("view_port", "view_host", "view_token_file", "view_control")


def add_run(commands: argparse._SubParsersAction) -> None:
    """Add `run`."""
    parser = commands.add_parser(
        "run", help="start the node graph without the ROS command line (ROS)"
    )
    _add_options(parser)

    def function(chosen: argparse.Namespace) -> int:
        require_environment()
        import rclpy  # noqa: F401  # without it nothing would start

        from .bringup.node_graph import processes
        from .bringup.process_runner import run

        return run(processes(_options(chosen)))

    parser.set_defaults(function=function)


def add_view(commands: argparse._SubParsersAction) -> None:
    """Add `view`."""
    parser = commands.add_parser(
        "view", help="show a running graph in the browser: the console (ROS)"
    )
    _add_options(parser, "robot", *VIEW, "use_sim_time", "log_level")

    def function(chosen: argparse.Namespace) -> int:
        require_environment()
        import rclpy  # noqa: F401  # without it nothing would start

        from .bringup.node_graph import processes
        from .bringup.process_runner import run

        nothing = dict.fromkeys(("policy", "reasoner", "commander", "sim"), False)
        return run(processes(_options(chosen, view=True, **nothing)))

    parser.set_defaults(function=function)


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add `demo`."""
    parser = commands.add_parser(
        "demo", help="drive the simulated arm and show what happened (ROS)"
    )
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
    _add_options(parser, *SHARED, "strategy", "seed", "view", *VIEW)

    def function(chosen: argparse.Namespace) -> int:
        require_environment()
        from .apps.demo import demo

        options = _options(chosen, task="reach", log_level="warn")
        return demo(options, chosen.task, chosen.episodes, chosen.time_limit, chosen.out)

    parser.set_defaults(function=function)


def add_replay(commands: argparse._SubParsersAction) -> None:
    """Add `replay`."""
    parser = commands.add_parser(
        "replay", help="feed a recorded clip with a joint log through the nodes (ROS)"
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
        require_environment()
        from .apps.replay import replay

        options = _options(chosen, sim=False, commander=False)
        return replay(options, chosen.video, chosen.joints, chosen.frames, chosen.out)

    parser.set_defaults(function=function)


def add_demonstrate(commands: argparse._SubParsersAction) -> None:
    """Add `demonstrate`."""
    parser = commands.add_parser(
        "demonstrate",
        help="a scripted expert moves the simulated robot of a scene file, over its topics (ROS)",
    )
    _add_options(parser, "robot")
    parser.add_argument(
        "--task", default="", help="of the scene file, with commas (default: all of them)"
    )
    parser.add_argument("--episodes", type=int, default=10, help="of each task (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first episode (default: 0)")

    def function(chosen: argparse.Namespace) -> int:
        require_environment()
        from .apps.demonstration import demonstrate

        return demonstrate(chosen.robot, chosen.task, chosen.episodes, chosen.seed)

    parser.set_defaults(function=function)


def add_record(commands: argparse._SubParsersAction) -> None:
    """Add `record`."""
    parser = commands.add_parser(
        "record", help="record a robot's topics into a bag, as `ros2 bag record` does (ROS)"
    )
    parser.add_argument("folder", type=pathlib.Path, help="new folder of the recording")
    _add_options(parser, "robot")
    parser.add_argument(
        "--transport", choices=("compressed", "raw"), default="compressed", help="of the pictures"
    )
    parser.add_argument(
        "--future",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="predicted videos too, which the policy then has to decode",
    )

    def function(chosen: argparse.Namespace) -> int:
        require_environment()
        from .apps.bag_recorder import record

        return record(chosen.folder, chosen.robot, chosen.transport, chosen.future)

    parser.set_defaults(function=function)


def _add_options(parser: argparse._ActionsContainer, *names: str) -> None:
    """One command line option for each of these fields of `Options`, by default for all."""
    add_arguments(parser, Options, names)


def _options(chosen: argparse.Namespace, **fixed: object) -> Options:
    return Options(**argument_values(chosen, Options) | fixed)
