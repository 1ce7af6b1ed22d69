# SPDX-License-Identifier: Apache-2.0
"""The commands `cosmos3 dynamics forward` and `inverse`: video of actions, actions of video."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments, argument_values

if TYPE_CHECKING:
    from .model.dynamics import Dynamics
    from .training.dynamics.sources import SourceClip
    from .training.options import DataOptions

MODEL = (
    "download",
    "device",
    "dtype",
    "compile",
    "weights",
    "text_weights",
    "threads",
    "embodiment",
)
SAMPLING = ("num_steps", "guidance", "shift", "seed", "prompt_format", "schedule", "horizon")


def add_dynamics(commands: argparse._SubParsersAction) -> None:
    """Add `dynamics`."""
    parser = commands.add_parser(
        "dynamics", help="the video of recorded actions, and the actions of recorded video"
    )
    modes = parser.add_subparsers(required=True, metavar="MODE")
    _add_forward(modes)
    _add_inverse(modes)


def _add_forward(modes: argparse._SubParsersAction) -> None:
    parser = modes.add_parser("forward", help="pictures and actions to the video that comes of it")
    _add_source(parser, "--picture", "a picture of each camera before the first action")
    parser.add_argument(
        "--actions",
        type=pathlib.Path,
        metavar="FILE",
        help="CSV or parquet: a column for each of the embodiment's, in its units, and `time` [s] "
        "(default: those of the episode)",
    )
    parser.add_argument("--rows", type=int, default=0, help="only so many actions; 0: all")
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="the video, .mp4; FILE.json goes beside it"
    )
    parser.add_argument(
        "--per-view", action="store_true", help="a video of each camera as well: FILE.<view>.mp4"
    )
    parser.add_argument(
        "--drawn",
        action="store_true",
        help="one of the possible futures, from the noise of --seed, best with --steps 4 or more "
        "(default: from the mean of the noise, nearest to what happens)",
    )
    _add_model(parser, steps=1)
    parser.set_defaults(function=_forward)


def _add_inverse(modes: argparse._SubParsersAction) -> None:
    parser = modes.add_parser("inverse", help="video to the actions that it shows")
    _add_source(parser, "--video", "a video of each camera, begun together")
    parser.add_argument(
        "--out", type=pathlib.Path, help="new folder of a LeRobot dataset with these actions"
    )
    parser.add_argument(
        "--csv", type=pathlib.Path, metavar="FILE", help="new table of the actions of one clip"
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=-1,
        help="rows that a window shares with the next one (default: half of a window)",
    )
    parser.add_argument(
        "--height", type=int, default=360, help="shrink larger pictures to it; 0: keep"
    )
    _add_model(parser, steps=4)
    parser.set_defaults(function=_inverse)


def _add_source(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    """What to begin with: files, an episode of a dataset, or one of a recording."""
    parser.add_argument("checkpoint", help="folder, or `embedded`: the one of this package")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(option, dest="files", nargs="+", metavar="VIEW=FILE", default=[], help=text)
    which.add_argument(
        "--episode", metavar="DATASET[:NUMBER]", default="", help="of a LeRobot dataset"
    )
    which.add_argument(
        "--bag", metavar="BAG[:NUMBER]", default="", help="of a recording, as `convert` counts"
    )
    parser.add_argument("--robot", default="", help="robot file of the recording")
    parser.add_argument("--recipe", type=pathlib.Path, help="recipe that says how to read DATASET")
    parser.add_argument(
        "--instruction", default="", help="what is being done (default: as the source says)"
    )
    parser.add_argument(
        "--state",
        default="",
        help="where the robot is in the first frame, if the source does not say: numbers with "
        "commas, in the order and the units of the embodiment (--state=-1,... begins with a -)",
    )


def _add_model(parser: argparse.ArgumentParser, steps: int) -> None:
    add_arguments(parser.add_argument_group("the model"), PolicyModelParams, MODEL)
    add_arguments(
        parser.add_argument_group("how it samples"),
        PolicyModelParams,
        SAMPLING,
        flags={"num_steps": "--steps"},
        defaults={"num_steps": steps, "guidance": 1.0},
    )


def _forward(chosen: argparse.Namespace) -> int:
    from .training.dynamics.action_table import read_actions
    from .training.dynamics.forward import forward

    if chosen.out.suffix != ".mp4":
        raise ValueError(f"--out: expected a file .mp4, got {chosen.out}")
    if chosen.rows < 0:
        raise ValueError(f"--rows: expected 0 or more, got {chosen.rows}")
    if chosen.files and not chosen.actions:
        raise ValueError("--actions: expected a file beside --picture, got none")
    dynamics = _load(chosen)
    clips = _clips(chosen, dynamics)
    clip = next(clips)
    if next(clips, None) is not None:
        raise ValueError(f"expected one episode, {clip.name} is the first of several: say which")
    if chosen.actions:
        values, clip = read_actions(chosen.actions, dynamics.embodiment), clip.frame()
    elif not clip.knows_actions:
        raise ValueError(f"{clip.name}: no actions; expected --actions FILE")
    else:
        values = clip.episode.actions[: max(1, len(clip.episode) - 1)]
    values = values[: chosen.rows or None]
    real = not chosen.actions
    said = forward(
        dynamics, clip, values, chosen.out, _about(chosen), chosen.drawn, chosen.per_view, real
    )
    if like := said.get("likeness"):
        print(f"PSNR to what was seen {like['psnr']:.1f} dB, of the first frame {like['copy']:.1f}")
    print(f"wrote {chosen.out} and {chosen.out.with_suffix('.json').name}")
    return 0


def _inverse(chosen: argparse.Namespace) -> int:
    from .training.dynamics.inverse import inverse

    if not (chosen.out or chosen.csv):
        raise ValueError("expected --out FOLDER, --csv FILE or both, got neither")
    dynamics = _load(chosen)
    overlap = dynamics.embodiment.horizon // 2 if chosen.overlap < 0 else chosen.overlap
    inverse(dynamics, _clips(chosen, dynamics), overlap, chosen.out, chosen.csv, _about(chosen))
    print(f"wrote {', '.join(str(path) for path in (chosen.out, chosen.csv) if path)}")
    return 0


def _load(chosen: argparse.Namespace) -> Dynamics:
    from .model.dynamics import Dynamics
    from .model.policy import Cosmos3Policy
    from .model.registry import Models

    folder = "" if chosen.checkpoint == "embedded" else chosen.checkpoint
    given = argument_values(chosen, PolicyModelParams) | {"checkpoint": folder}
    policy = Models(reasoner=False).policy(PolicyModelParams(**given))
    assert isinstance(policy, Cosmos3Policy)  # `best_of` is no option of these commands
    return Dynamics(policy)


def _clips(chosen: argparse.Namespace, dynamics: Dynamics) -> Iterator[SourceClip]:
    """What the options name, one clip after the other."""
    from .training.dynamics import sources

    embodiment, instruction = dynamics.embodiment, chosen.instruction
    state = sources.parse_state(chosen.state, embodiment) if chosen.state else None
    if bool(chosen.bag) != bool(chosen.robot):
        raise ValueError("expected --robot FILE with --bag, and only there")
    if chosen.bag:
        height = getattr(chosen, "height", 0)
        return sources.of_bag(chosen.bag, chosen.robot, embodiment, instruction, height)
    if chosen.episode:
        return sources.of_dataset(chosen.episode, embodiment, _data(chosen), instruction, state)
    option = "--video" if "overlap" in vars(chosen) else "--picture"
    files = sources.by_view(chosen.files, embodiment.views, option)
    if option == "--video":
        made = sources.of_videos(files, embodiment, instruction, state, chosen.height)
    else:
        made = sources.of_pictures(files, embodiment, instruction, state)
    return iter([made])


def _data(chosen: argparse.Namespace) -> DataOptions:
    from .training.options import DataOptions
    from .training.recipe import read_recipe

    return read_recipe(chosen.recipe).data if chosen.recipe else DataOptions()


def _about(chosen: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, for the JSON beside the result."""
    sampling = argument_values(chosen, PolicyModelParams)
    return {"checkpoint": chosen.checkpoint, "model": sampling}
