# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3`.

Each subcommand imports what it needs: one works where another's libraries are absent.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys
from typing import Any

from . import __version__
from .benchmark_cli import add_benchmark
from .bringup.graph_options import Options
from .calibrate_cli import add_calibrate
from .dynamics_cli import add_dynamics
from .embodiment_cli import add_embodiment
from .generate_cli import add_generate
from .graph_cli import add_demo, add_demonstrate, add_record, add_replay, add_run, add_view
from .imagine_cli import add_imagine
from .judge_cli import add_judge
from .live_cli import add_live
from .messages_cli import add_messages
from .model.embodiment import EMBODIMENTS, SIMULATED
from .model.embodiment.table import nearest
from .model.model_params import ModelParams
from .model.option_fields import add_arguments, finite_float
from .serve.cli import add_reasoner_options, add_serve, reasoner_params
from .task_cli import add_task
from .training_cli.collect import add_collect
from .training_cli.evaluate import add_eval
from .training_cli.train import add_train

# Import names of what this package uses of ROS 2, and of its own messages.
ROS = frozenset(
    (
        "action_msgs",
        "ament_index_python",
        "builtin_interfaces",
        "control_msgs",
        "cv_bridge",
        "diagnostic_msgs",
        "geometry_msgs",
        "launch",
        "launch_ros",
        "lifecycle_msgs",
        "nav_msgs",
        "rcl_interfaces",
        "rclpy",
        "rosgraph_msgs",
        "sensor_msgs",
        "simulation_interfaces",
        "std_msgs",
        "std_srvs",
        "trajectory_msgs",
        "cosmos3_ros.action",
        "cosmos3_ros.msg",
        "cosmos3_ros.srv",
    )
)
# Import name of what an extra of setup.py brings -> the extra.
EXTRAS = {
    "pyarrow": "train",
    "rosbags": "train",
    "pinocchio": "poses",
    "mujoco": "sim",
    "matplotlib": "sim",
    "gymnasium": "worlds",
    "metaworld": "metaworld",
    "lerobot": "lerobot",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; any error is one line on stderr and exit code 1.

    `--debug`, anywhere among the arguments, shows where it was raised.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in words
    chosen = command_parser().parse_args([word for word in words if word != "--debug"])
    for name, value in vars(chosen).items():
        setattr(chosen, name, _expanded(value))
    try:
        return chosen.function(chosen) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130  # as shells say it
    except BrokenPipeError:  # nobody reads on, as behind `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as shells say it
    except Exception as error:  # of whatever library
        if debug:
            raise
        print("error:", *_words(error).split(), file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Answers an unknown option with the nearest of its own; so do the subcommands' parsers."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but options have to be known."""
        chosen, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            name = word.partition("=")[0]
            if name.startswith("--") and (close := nearest(name, self._option_string_actions)):
                self.error(f"unrecognized arguments: {word}{close}")
        return chosen, unknown


def command_parser() -> argparse.ArgumentParser:
    """All subcommands."""
    parser = _Parser(
        "cosmos3",
        description=__doc__.splitlines()[0] if __doc__ else None,
        epilog="--debug, anywhere: show where an error was raised, not only its line",
    )
    parser.add_argument("--version", action="version", version=f"cosmos3_ros {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands)
    add_view(commands)
    add_demo(commands)
    add_replay(commands)
    _add_ask(commands)
    add_generate(commands)
    add_task(commands)
    add_judge(commands)
    add_benchmark(commands)
    add_imagine(commands)
    add_live(commands)
    _add_inspect(commands)
    _add_tiny(commands)
    add_collect(commands)
    add_train(commands)
    add_eval(commands)
    add_dynamics(commands)
    add_calibrate(commands)
    add_demonstrate(commands)
    add_messages(commands)
    add_record(commands)
    _add_convert(commands)
    add_embodiment(commands)
    add_serve(commands)
    return parser


def _expanded(value: object) -> object:
    """Paths and texts that begin with ~, also in a list, below the home folder it stands for."""
    if isinstance(value, list):
        return [_expanded(entry) for entry in value]
    if isinstance(value, pathlib.Path):
        return pathlib.Path(os.path.expanduser(value))
    return os.path.expanduser(value) if isinstance(value, str) else value


def _words(error: Exception) -> str:
    """What an error says; of one that nobody here has worded, its kind too."""
    if isinstance(error, ModuleNotFoundError):
        return _remedy(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError | OSError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _remedy(error: ModuleNotFoundError) -> str:
    """What is missing, and how it is had."""
    name = error.name or ""
    top = name.partition(".")[0]
    if not ROS.isdisjoint((name, top)):
        ros = "this needs ROS 2: source its setup.bash, or use `make`, or `cosmos3 messages`"
        return f"{error}; {ros}"
    if top in EXTRAS:
        return f"this needs {top}: pip install 'cosmos3_ros[{EXTRAS[top]}]'"
    return str(error)


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
        if not chosen.file:
            print("no picture: answered from the words alone", file=sys.stderr)
        print(ask(chosen.question, chosen.file, params))
        return 0

    parser.set_defaults(function=function)


def _add_inspect(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "inspect", help="what a checkpoint holds, and whether it would load; exit code 1 if not"
    )
    parser.add_argument("checkpoint", help="its folder")
    parser.add_argument(
        "--headers", action="store_true", help="do not read the weights, of which none may be NaN"
    )
    add_arguments(parser, ModelParams, ("download",))

    def function(chosen: argparse.Namespace) -> int:
        from .model.checkpoint_io.summary import report
        from .model.checkpoint_io.surfaces import SURFACES
        from .model.surprise.reference_file import check_reference

        surfaces = SURFACES | {"surprise": (check_reference,)}
        found = report(chosen.checkpoint, chosen.download, not chosen.headers, surfaces)
        print(found.text)
        return int(not found.loads)

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
    add_arguments(parser, Options, ("robot",))
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


if __name__ == "__main__":
    sys.exit(main())
