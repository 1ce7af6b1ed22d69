# SPDX-License-Identifier: Apache-2.0
"""What of a training a checkpoint folder holds: the step of each stage, in its training.json.

It is replaced together with the weights, so that it is true whenever a training is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...model.checkpoint_io.json_file import read_json, write_json
from ..optim.optimizer import Optimizer

FILE = "training.json"


def note(draft: Path, stage: str, step: int, ended: bool) -> None:
    """Say in a draft of the folder which step of a stage its weights are of."""
    stages = read_json(draft / FILE, optional=True)
    write_json(draft / FILE, {**stages, stage: {"step": step, "ended": ended}})


def has_ended(folder: Path, stage: str) -> bool:
    """Whether the folder holds what the whole stage made, by an older version's file too."""
    older = folder.parent / f"{stage}.done"
    return bool(_stage(folder, stage).get("ended")) or older.exists()


def resume(
    optimizer: Optimizer, state: Path, stage: str, every: float, write: Callable[[Path], None]
) -> bool:
    """Go on from a stage's saved state, if there is one; whether there is anything left to train.

    From then on the optimizer saves itself every so many seconds: its state, and by `write` its
    averages into the folder `checkpoint` beside. An ended stage does so if its last save was cut
    short.
    """
    folder = state.parent / "checkpoint"
    if state.exists():
        optimizer.resume(state)

    def save() -> None:
        optimizer.save(state)
        write(folder)

    if optimizer.progress < 1:
        optimizer.save_by(save, every)
        return True
    if not optimizer.group.agree(_is_of(folder, stage, optimizer)):
        save()
    return False


def _is_of(folder: Path, stage: str, optimizer: Optimizer) -> bool:
    """Whether the folder holds the weights of the stage's present step."""
    return bool(_stage(folder, stage).get("step") == optimizer.step_number)


def _stage(folder: Path, stage: str) -> dict[str, Any]:
    entry = read_json(folder / FILE, optional=True).get(stage)
    return entry if isinstance(entry, dict) else {}
