# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 task`: something to do, in words, until it is judged to be done."""

from __future__ import annotations

import argparse
import math

from .bringup.middleware import require_environment
from .model.option_fields import finite_float


def add_task(commands: argparse._SubParsersAction) -> None:
    """Add `task`."""
    parser = commands.add_parser(
        "task", help="have a running graph do something until it is judged to be done (ROS)"
    )
    parser.add_argument("instruction", help='what to do: "put the red cube in the bowl"')
    parser.add_argument(
        "--time-limit", type=finite_float, default=0.0, help="s (default: the server's)"
    )
    parser.add_argument(
        "--question", default="", help="yes-or-no question that decides (default: the server's)"
    )
    parser.add_argument(
        "--plan", action="store_true", help="let the reasoner split it into steps before"
    )
    parser.set_defaults(function=_task)


def _task(chosen: argparse.Namespace) -> int:
    require_environment()
    from .action import ExecuteTask
    from .apps.task import perform

    result = perform(
        ExecuteTask.Goal(
            instruction=chosen.instruction,
            time_limit=chosen.time_limit,
            question=chosen.question,
            plan=chosen.plan,
        )
    )
    print(f"{result.outcome} after {result.seconds:.1f} s: {result.message}")
    if result.question:
        sure = "" if math.isnan(result.yes) else f" (yes: {result.yes:.3f})"
        print(f"asked: {result.question}\nanswer: {result.answer}{sure}")
    return int(result.outcome != ExecuteTask.Result.SUCCEEDED)
