# SPDX-License-Identifier: Apache-2.0
"""The commands `cosmos3 live`: what a running policy says about what its cameras show."""

from __future__ import annotations

import argparse

from .bringup.middleware import require_environment
from .imagine_cli import add_out, check_out
from .model.option_fields import finite_float


def add_live(commands: argparse._SubParsersAction) -> None:
    """Add `live`."""
    parser = commands.add_parser(
        "live", help="ask a running policy about what its cameras show; nothing moves (ROS)"
    )
    modes = parser.add_subparsers(required=True, metavar="MODE")
    _add_video(modes)
    _add_actions(modes)


def _add_video(modes: argparse._SubParsersAction) -> None:
    parser = modes.add_parser(
        "video", help="generate what comes next by a sentence; Ctrl-C cancels (generate_frames)"
    )
    parser.add_argument("prompt", help="what is to be seen")
    parser.add_argument("--frames", type=int, default=0, help="4 k + 1; 0: as many as may be")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps; 0: the usual ones")
    parser.add_argument("--guidance", type=finite_float, default=0.0, help="0: the usual one")
    parser.add_argument("--shift", type=finite_float, default=0.0, help="0: the usual one")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    add_out(parser, "out/live.mp4", "video to write")
    parser.set_defaults(function=_video)


def _add_actions(modes: argparse._SubParsersAction) -> None:
    parser = modes.add_parser(
        "actions", help="the actions that the last seconds show (recent_seconds)"
    )
    parser.add_argument(
        "--seconds", type=finite_float, default=0.0, help="so many; 0: as many as are kept"
    )
    parser.add_argument(
        "--instruction", default="", help="what is being done (default: what the policy follows)"
    )
    add_out(parser, "out/live.csv", "table to write: `time` [s] and the joints")
    parser.set_defaults(function=_actions)


def _video(chosen: argparse.Namespace) -> int:
    check_out(chosen.out, ".mp4")
    for name in ("frames", "steps", "seed"):
        if not 0 <= getattr(chosen, name) < 2**32:
            raise ValueError(
                f"--{name}: expected 0 or more, less than 2^32, got {getattr(chosen, name)}"
            )
    require_environment()
    from .apps.live import generate_video

    names = ("prompt", "frames", "steps", "guidance", "shift", "seed")
    return generate_video({name: getattr(chosen, name) for name in names}, chosen.out)


def _actions(chosen: argparse.Namespace) -> int:
    check_out(chosen.out, ".csv")
    require_environment()
    from .apps.live import infer_actions

    return infer_actions(chosen.seconds, chosen.instruction, chosen.out)
