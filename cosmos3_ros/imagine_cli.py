# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 imagine`: what the cameras would show if something were played."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .bringup.middleware import require_environment
from .execution.candidates.candidate import Candidate
from .execution.candidates.candidate_file import read_candidate
from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments, argument_values, fields, finite_float

if TYPE_CHECKING:
    from .model.embodiment import Embodiment
    from .training.dynamics.sources import SourceClip

MODEL = (
    "download",
    "device",
    "dtype",
    "weights",
    "text_weights",
    "threads",
    "embodiment",
    "prompt_format",
)
SHOWN = ("picture", "episode", "bag")  # what a checkpoint is shown in place of live cameras
OFFLINE = (*SHOWN, "robot", "frame", "state", "at", *MODEL)


def add_imagine(commands: argparse._SubParsersAction) -> None:
    """Add `imagine`."""
    parser = commands.add_parser(
        "imagine",
        help="predict what is seen if a candidate is played, by a running policy (ROS) or of "
        "files; nothing moves",
    )
    _add_candidate(parser)
    parser.add_argument(
        "--instruction",
        default="",
        help="what is being done (default: what the policy follows, or the source says)",
    )
    add_out(parser, "out/imagined.mp4", "video to write")
    _add_offline(parser.add_argument_group("without a running policy"))
    parser.set_defaults(function=_imagine)


def _add_candidate(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--file",
        type=pathlib.Path,
        help="candidate: .csv or .parquet with a column `time` [s] and one per joint, or .json "
        "with names, positions and times or step",
    )
    source.add_argument(
        "--topic",
        default="",
        help="the next message of this topic: trajectory_msgs/JointTrajectory or "
        "cosmos3_ros/ActionChunk",
    )
    source.add_argument(
        "--joints",
        nargs="+",
        metavar="JOINT=POSITION",
        help="these joints there, the others stay where they are",
    )
    parser.add_argument(
        "--seconds",
        type=finite_float,
        default=0.0,
        help="with --joints: after so long (default: at the end of the clip)",
    )


def _add_offline(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--checkpoint",
        default="",
        help="folder, or `embedded`: imagine with it, from --picture, --episode or --bag",
    )
    which = group.add_mutually_exclusive_group()
    which.add_argument("--picture", nargs="+", metavar="VIEW=FILE", help="a picture of each camera")
    which.add_argument("--episode", metavar="DATASET[:NUMBER]", help="of a LeRobot dataset")
    which.add_argument("--bag", metavar="BAG[:NUMBER]", help="of a recording, as `convert` counts")
    group.add_argument("--frame", type=int, help="of the episode or recording (default: 0)")
    group.add_argument(
        "--robot", default="", help="robot file: names, units and limits of the joints"
    )
    group.add_argument(
        "--state",
        help="where the robot is, if the source does not say: numbers with commas, in the order "
        "and the units of the embodiment",
    )
    group.add_argument(
        "--at",
        nargs="+",
        metavar="JOINT=POSITION",
        help="where each joint is, instead; needed where the embodiment acts by poses or twists",
    )
    add_arguments(group, PolicyModelParams, MODEL)


def target(words: Sequence[str], seconds: float = 0.0) -> Candidate:
    """The candidate that words like a=0.3 say; ValueError names the one that is none."""
    positions = _positions(words, "--joints")
    return Candidate(tuple(positions), np.array([seconds]), np.array([[*positions.values()]]))


def _positions(words: Sequence[str], option: str) -> dict[str, float]:
    positions: dict[str, float] = {}
    for word in words:
        name, equals, number = word.partition("=")
        try:
            position = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"{option}: expected JOINT=POSITION, got {word!r}")
        if name in positions:
            raise ValueError(f"{option}: {name} is there twice")
        positions[name] = position
    return positions


def add_out(parser: argparse.ArgumentParser, default: str, text: str) -> None:
    """Add `--out`, the one file to write; text: what is in it."""
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path(default),
        help=f"{text} (default: {default})",
    )


def check_out(out: pathlib.Path, suffix: str) -> None:
    """ValueError unless the file of --out ends so."""
    if out.suffix != suffix:
        raise ValueError(f"--out: expected a file that ends in {suffix}, got {str(out)!r}")


def _imagine(chosen: argparse.Namespace) -> int:
    check_out(chosen.out, ".mp4")
    if chosen.seconds and not chosen.joints:
        raise ValueError("--seconds: expected with --joints only, others say their own times")
    _check_offline(chosen)
    candidate = None
    if chosen.file:
        candidate = read_candidate(chosen.file)
    elif chosen.joints:
        candidate = target(chosen.joints, chosen.seconds)
    if chosen.checkpoint:
        assert candidate  # a topic was refused
        return _offline(chosen, candidate)
    require_environment()
    from .apps.imagine import imagine

    return imagine(candidate or chosen.topic, chosen.instruction, chosen.out)


def _check_offline(chosen: argparse.Namespace) -> None:
    """ValueError for options of the one way in the other."""
    given = [name for name in OFFLINE if getattr(chosen, name) not in (None, "")]
    if not chosen.checkpoint:
        unused = [name for name in given if name not in MODEL or _is_set(chosen, name)]
        if unused:
            raise ValueError(
                f"--{unused[0].replace('_', '-')}: expected with --checkpoint only, a running "
                "policy has its own"
            )
        return
    if chosen.topic:
        raise ValueError("--topic: expected --file or --joints with --checkpoint")
    if not any(getattr(chosen, name) for name in SHOWN):
        raise ValueError("--checkpoint: expected --picture, --episode or --bag with it, got none")
    if not chosen.robot:
        raise ValueError("--robot: expected a robot file with --checkpoint, got none")


def _is_set(chosen: argparse.Namespace, name: str) -> bool:
    return bool(getattr(chosen, name) != fields(PolicyModelParams)[name].default)


def _offline(chosen: argparse.Namespace, candidate: Candidate) -> int:
    from .model.interface import NS
    from .model.registry import Models
    from .training.data.video_io import write_video
    from .training.dynamics.imagined import imagine_from, read_body

    if chosen.out.exists():
        raise ValueError(f"{chosen.out} exists; expected a new file")
    folder = "" if chosen.checkpoint == "embedded" else chosen.checkpoint
    given = argument_values(chosen, PolicyModelParams) | {"checkpoint": folder}
    policy = Models(reasoner=False).policy(PolicyModelParams(**given))
    reader = read_body(chosen.robot, policy.embodiment)
    clip = _clip(chosen, policy.embodiment)
    policy.check_instruction(clip.episode.instructions[0])
    start = _positions(chosen.at or (), "--at")
    future, note = imagine_from(policy, reader, clip, candidate, start)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    write_video(chosen.out, future.frames, round(NS / future.step))
    print(f"imagined {note}")
    seconds = (len(future.frames) - 1) * future.step / NS
    said = clip.episode.instructions[0]
    print(f"wrote {chosen.out}: {len(future.frames)} frames, {seconds:.2f} s, of {said!r}")
    return 0


def _clip(chosen: argparse.Namespace, embodiment: Embodiment) -> SourceClip:
    """The one frame that the options name."""
    from .training.dynamics import sources
    from .training.options import DataOptions

    words = chosen.instruction
    state = sources.parse_state(chosen.state, embodiment) if chosen.state else None
    if chosen.picture:
        files = sources.by_view(chosen.picture, embodiment.views, "--picture")
        clips = iter([sources.of_pictures(files, embodiment, words, state)])
    elif chosen.bag:
        clips = sources.of_bag(chosen.bag, chosen.robot, embodiment, words)
    else:
        clips = sources.of_dataset(chosen.episode, embodiment, DataOptions(), words, state)
    clip = next(clips)
    if next(clips, None) is not None:
        raise ValueError(f"expected one episode, {clip.name} is the first of several: say which")
    return clip.frame(chosen.frame or 0)
