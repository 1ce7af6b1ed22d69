# SPDX-License-Identifier: Apache-2.0
"""The simulation's tasks that a checkpoint was trained for, by its checkpoint.json. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .foreign import SHIPPED, checkpoint_path
from .json_file import read_block, read_json, write_json

EMBEDDED = SHIPPED / "droid_sim"
_FILE = "checkpoint.json"


def trained_tasks(checkpoint: str | Path) -> list[str]:
    """Names of tasks ("": of the embedded checkpoint); [] if it names none.

    ValueError if there is no such folder, or they are no names.
    """
    folder = checkpoint_path(checkpoint or EMBEDDED)
    if checkpoint and not folder.is_dir():
        raise ValueError(f"checkpoint: no folder {folder}")
    return tasks_of(folder / _FILE, read_block(folder / _FILE, "policy"))


def tasks_of(file: Path, policy: Mapping[str, Any]) -> list[str]:
    """Those of the policy block of a checkpoint.json; ValueError if they are no names."""
    tasks = policy.get("tasks") or []
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise ValueError(f"{file}: policy.tasks: expected a list of names, got {tasks!r:.60}")
    return tasks


def write_trained_tasks(folder: Path, tasks: Iterable[str]) -> None:
    """Name the tasks in the folder's checkpoint.json, and keep what else it says."""
    write_policy_entry(folder, "tasks", [*tasks])


def write_policy_entry(folder: Path, name: str, value: Any) -> None:
    """Set one entry of the policy block of the folder's checkpoint.json."""
    about = read_json(folder / _FILE, optional=True)
    policy = {**(about.get("policy") or {}), name: value}
    write_json(folder / _FILE, {**about, "policy": policy})
