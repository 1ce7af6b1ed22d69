# SPDX-License-Identifier: Apache-2.0
"""The commands `cosmos3 embodiment` and `cosmos3 stats`: a robot described in a file."""

from __future__ import annotations

import argparse
import pathlib
import re
from typing import TYPE_CHECKING, Any

from .bringup.middleware import require_environment
from .model.embodiment import EMBODIMENTS, Embodiment, find_embodiment
from .model.embodiment.embodiment_file import is_robot_file, section_of
from .model.embodiment.embodiment_yaml import to_yaml, write_embodiment
from .model.embodiment.table import read_yaml
from .model.option_fields import finite_float

if TYPE_CHECKING:
    from .training.data.lerobot_reader import Layout

WHAT = "name, YAML file, robot file, or folder of a checkpoint"
TO_CHECK = (
    "Guessed, to be checked by a person: which end of a gripper is open, units that nothing says, "
    "the action head, and the sentence about the cameras."
)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def add_embodiment(commands: argparse._SubParsersAction) -> None:
    """Add `embodiment` and `stats`."""
    parser = commands.add_parser(
        "embodiment", help="describe a robot to the model: show, check or begin such a file"
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    shown = actions.add_parser("show", help="print an embodiment as YAML")
    shown.add_argument("embodiment", help=f"{WHAT}; of the package: {', '.join(EMBODIMENTS)}")
    shown.set_defaults(function=_show)
    checked = actions.add_parser(
        "check", help="check an embodiment, and whether robot, dataset and checkpoint agree with it"
    )
    checked.add_argument("embodiment", help=WHAT)
    checked.add_argument("--robot", default="", help="robot file by name or path")
    checked.add_argument("--dataset", type=pathlib.Path, help="folder of a LeRobot dataset")
    checked.add_argument("--recipe", type=pathlib.Path, help="recipe that says how to read it")
    checked.add_argument("--checkpoint", type=pathlib.Path, help="folder of a checkpoint")
    checked.set_defaults(function=_check)
    begun = actions.add_parser("init", help="write an embodiment from a dataset or live topics")
    begun.add_argument("name", help="of the embodiment")
    begun.add_argument("--dataset", type=pathlib.Path, help="folder of a LeRobot dataset")
    begun.add_argument("--topics", action="store_true", help="listen to the robot's topics (ROS)")
    begun.add_argument("--seconds", type=finite_float, default=5.0, help="to listen (default: 5)")
    begun.add_argument("--out", type=pathlib.Path, help="(default: NAME.yaml)")
    begun.add_argument(
        "--small", action="store_true", help="a canvas for small networks, as droid_sim's"
    )
    begun.set_defaults(function=_init)
    _add_stats(commands)


def _add_stats(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "stats", help="write the statistics of a LeRobot dataset into an embodiment"
    )
    parser.add_argument("dataset", type=pathlib.Path)
    parser.add_argument("--embodiment", default="", help=f"{WHAT} (default: the recipe's)")
    parser.add_argument("--recipe", type=pathlib.Path, help="recipe that says how to read it")
    parser.add_argument(
        "--kind",
        choices=("quantile", "mean_std", "min_max", "none"),
        default="",
        help="of the normalization (default: as the embodiment has it, else quantile)",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, help="(default: the embodiment's own file, if it is one)"
    )
    parser.set_defaults(function=_stats)


def _show(chosen: argparse.Namespace) -> int:
    print(to_yaml(_find(chosen.embodiment)), end="")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    embodiment = _find(chosen.embodiment)
    print(f"{embodiment.name}: {_summary(embodiment)}")
    if chosen.robot:
        _check_robot(embodiment, chosen.robot)
    if chosen.dataset:
        from .training.data.embodiments.dataset_statistics import check_numbers

        print(check_numbers(chosen.dataset, embodiment, _layout(embodiment, chosen)))
    if chosen.checkpoint:
        from .model.checkpoint_io.json_file import read_json
        from .model.checkpoint_io.own_embodiment import ABOUT, choose_embodiment

        about = read_json(chosen.checkpoint / ABOUT).get("policy") or {}
        choose_embodiment(chosen.checkpoint, about, embodiment)
        print(f"checkpoint {chosen.checkpoint}: agrees")
    return 0


def _check_robot(embodiment: Embodiment, robot: str) -> None:
    from .model.embodiment.agreement import contradiction
    from .robot.recorded_robot import check_limits, read_robot
    from .robot.robot_file import find_robot_file

    described = read_robot(robot)
    if why := contradiction(embodiment, described.embodiment):
        raise ValueError(
            f"robot file {robot} is for {described.embodiment.name}, not {embodiment.name}: {why}"
        )
    check_limits(find_robot_file(robot), described)
    print(f"robot {described.name}: agrees, joints {', '.join(described.joints.joints)}")


def _init(chosen: argparse.Namespace) -> int:
    if not NAME.fullmatch(chosen.name):
        raise ValueError(f"expected a name of letters, digits and _, got {chosen.name!r}")
    if bool(chosen.dataset) == chosen.topics:
        raise ValueError("expected --dataset FOLDER or --topics, one of the two")
    out = chosen.out or pathlib.Path(f"{chosen.name}.yaml")
    if out.exists():
        raise ValueError(f"{out} exists; expected a new file (--out FILE)")
    embodiment, lines = (_of_topics if chosen.topics else _of_dataset)(chosen)
    write_embodiment(out, embodiment, TO_CHECK)
    for line in lines:
        print(line)
    print(f"wrote {out}: {_summary(embodiment)}")
    print(TO_CHECK)
    return 0


def _of_dataset(chosen: argparse.Namespace) -> tuple[Embodiment, list[str]]:
    import json

    from .training.data.embodiments.dataset_embodiment import embodiment_of_dataset
    from .training.data.embodiments.dataset_statistics import measure

    drafted = embodiment_of_dataset(chosen.dataset, chosen.name, chosen.small)
    measured = measure(chosen.dataset, drafted.embodiment, drafted.layout)
    lines = [f"{each.name}: {each.low:.3f} to {each.high:.3f}" for each in drafted.seen]
    lines += [f"{name} hardly moves" for name in measured.still]
    if drafted.features:
        lines.append(f"for the recipe: data.features: {json.dumps(drafted.features)}")
    return measured.embodiment, lines


def _of_topics(chosen: argparse.Namespace) -> tuple[Embodiment, list[str]]:
    require_environment()
    import rclpy  # noqa: F401  # without it there is nothing to listen to

    from .apps.topic_survey import survey
    from .model.embodiment.draft import draft_embodiment

    found = survey(chosen.seconds)
    embodiment = draft_embodiment(
        chosen.name, found.joints, found.cameras, found.rate, chosen.small
    )
    return embodiment, found.lines()


def _stats(chosen: argparse.Namespace) -> int:
    from .training.data.embodiments.dataset_statistics import measure

    name = chosen.embodiment or _recipe(chosen.recipe).embodiment
    embodiment = _find(name)
    out = chosen.out or (pathlib.Path(name) if name.endswith((".yaml", ".yml")) else None)
    if out is None or (out.exists() and is_robot_file(read_yaml(out))):
        raise ValueError(f"expected --out FILE: {name} is no file of an embodiment")
    measured = measure(chosen.dataset, embodiment, _layout(embodiment, chosen), chosen.kind)
    comment = f"Statistics of {chosen.dataset}: {measured.episodes} episodes."
    write_embodiment(out, measured.embodiment, comment)
    kind = measured.embodiment.normalization.kind
    print(f"wrote {out}: {kind} of {measured.frames} frames in {measured.episodes} episodes")
    for column in measured.still:
        print(f"{column} hardly moves")
    return 0


def _find(text: str) -> Embodiment:
    """An embodiment by name, file, checkpoint folder, or the robot file that names it."""
    path = pathlib.Path(text)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        fields = read_yaml(path)
        if is_robot_file(fields) and section_of(fields) is None:
            from .robot.recorded_robot import read_robot

            return read_robot(text).embodiment
    return find_embodiment(text)


def _layout(embodiment: Embodiment, chosen: argparse.Namespace) -> Layout:
    from .training.data.clip_source import layout_of
    from .training.data.lerobot.metadata import read_info
    from .training.options import DataOptions

    data = _recipe(chosen.recipe).data if chosen.recipe else DataOptions()
    return layout_of(read_info(chosen.dataset), embodiment, data)


def _recipe(file: pathlib.Path | None) -> Any:
    from .training.recipe import read_recipe

    if file is None:
        raise ValueError("expected --embodiment or --recipe, got neither")
    return read_recipe(file)


def _summary(embodiment: Embodiment) -> str:
    columns, state = (
        ", ".join(f"{column.name} {column.unit}" for column in part)
        for part in (embodiment.action, embodiment.state)
    )
    if not embodiment.same_columns:
        columns += f" beside a state of {state or 'nothing'}"
    rows = f"{embodiment.horizon} rows at {embodiment.fps:g} Hz"
    statistics = embodiment.normalization.kind
    return (
        f"{embodiment.kind}{' (relative)' if embodiment.relative else ''}, {rows}, views "
        f"{', '.join(embodiment.views)}, columns {columns}, normalization {statistics}, "
        f"action head {embodiment.domain_id} ({embodiment.domain})"
    )
