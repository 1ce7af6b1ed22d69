# SPDX-License-Identifier: Apache-2.0
"""Which options of `eval`, `collect` and `calibrate` go together, and what their numbers may be."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from ..bringup.graph_options import Options
from ..model.model_params import PolicyModelParams
from ..serve.cli import SAMPLING_FLAGS
from .options import EVALUATED, GRAPH, RUNTIME, given_options, sampling_options

# The least and the most that mean something.
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
# Options that only the simulation's own tasks have, with their defaults.
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


def check_world(chosen: argparse.Namespace) -> None:
    """ValueError for options of another world without --env, and for our own tasks' with it."""
    _check_numbers(chosen)
    if not chosen.env:
        if given := [name for name in ("protocol", "rows", "robot") if getattr(chosen, name, None)]:
            raise ValueError(f"--{given[0]}: expected --env, which alone has it")
        return
    values = vars(chosen)
    given = [name for name, default in OWN.items() if values.get(name, default) != default]
    given += [name for name, _ in given_options(chosen, Options, GRAPH)]
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


def check_wording(wording: int, tasks: Iterable[str]) -> None:
    """ValueError unless all tasks have so many wordings; -1 is the last one."""
    from ..sim.tasks import find

    most = min(len(find(task).wordings) for task in tasks) - 1
    if not -1 <= wording <= most:
        raise ValueError(f"--wording: expected -1 to {most}, got {wording}")


def check_expert(chosen: argparse.Namespace) -> None:
    """ValueError for options of a policy, of which an expert has none."""
    sampling = dict(sampling_options(chosen))
    given = ["rows"] if chosen.rows else []
    given += [name for name, value in sampling.items() if EVALUATED.get(name) != value]
    given += [name for name, _ in given_options(chosen, PolicyModelParams, RUNTIME)]
    if given:
        flag = SAMPLING_FLAGS.get(given[0], f"--{given[0].replace('_', '-')}")
        raise ValueError(f"{flag}: expected a checkpoint; the expert has no policy")
    if chosen.through != "process":
        raise ValueError("--through: expected process for the expert, which sees no picture")
