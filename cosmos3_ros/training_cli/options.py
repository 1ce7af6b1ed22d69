# SPDX-License-Identifier: Apache-2.0
"""Options that several commands of a training have: tasks, worlds, and how a policy samples."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from ..model.option_fields import argument_values, fields
from ..model.policy_options import PolicyOptions

TASK: dict[str, Any] = {
    "help": "tasks of the simulation, with commas, or a suite: basic, hard or all (default: "
    "basic); with --env tasks and groups of that world (default: all)",
}
WORKERS: dict[str, Any] = {
    "type": int,
    "default": 0,
    "help": "processes, 0 for one per core (default: 0)",
}
DISTRACTORS: dict[str, Any] = {
    "type": int,
    "default": 2,
    "help": "the most cubes that take no part (default: 2)",
}
# Defaults of the sampling options of `eval`; they are always written to what it measured.
EVALUATED = {"num_steps": 4, "guidance": 1.0, "future_steps": 1}
# How `eval` runs the policy, and how the nodes do if it goes through them.
RUNTIME = ("compile", "cuda_graphs", "weights", "attention", "text_weights", "placement")
GRAPH = ("strategy", "image_transport", "gpus", "tensor_parallel")


def add_world(parser: argparse.ArgumentParser) -> None:
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


def fetch(chosen: argparse.Namespace) -> None:
    """With --download, `checkpoint` may be a name on the Hugging Face Hub: here it is a folder."""
    from ..model.checkpoint_io.foreign import find_folder

    if chosen.download:
        chosen.checkpoint = str(find_folder(chosen.checkpoint, download=True))


def sampling_options(chosen: argparse.Namespace) -> tuple[tuple[str, Any], ...]:
    """Name and value of the policy options in force: those of EVALUATED, and what was changed."""
    given = argument_values(chosen, PolicyOptions)
    return tuple(
        (name, given[name])
        for name, field in fields(PolicyOptions).items()
        if name in EVALUATED or given[name] != field.default
    )


def given_options(
    chosen: argparse.Namespace, cls: Any, names: Collection[str]
) -> tuple[tuple[str, Any], ...]:
    """Name and value of the options of these names that are not as `cls` has them."""
    values, known = argument_values(chosen, cls, names), fields(cls)
    return tuple(
        (name, values[name])
        for name in names
        if name in values and values[name] != known[name].default
    )
