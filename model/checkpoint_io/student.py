# SPDX-License-Identifier: Apache-2.0
"""What a few-step student was made for, in its checkpoint.json and scheduler_config.json. No torch.

Its noise levels stand in scheduler_config.json as NVIDIA's students have them; the block `student`
of checkpoint.json says whose student it is, with which guidance inside, and for what.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from .json_file import read_json, write_json

_MOST = 1 << 20  # of anything that is counted or measured there
LEVELS = "fixed_step_sampler_config"
_FILE, _ENTRY = "checkpoint.json", "student"
_SCHEDULER = Path("scheduler") / "scheduler_config.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Student:
    """Its teacher and what both were asked for."""

    teacher: str  # name of its folder
    guidance: float  # that is inside
    modes: tuple[str, ...]  # "policy", "forward_dynamics", ..., or "text_to_video", ...
    # Of videos, what most of them had; 0 of a policy.
    size: tuple[int, int] = (0, 0)
    frames: int = 0
    fps: float = 0.0


def _is_right(made: Student) -> bool:
    """Whether the fields are what they are called; of a policy, size, frames and rate are 0."""
    counts = (*made.size, made.frames)
    return (
        isinstance(made.teacher, str)
        and all(isinstance(mode, str) for mode in made.modes)
        and len(made.size) == 2
        and all(type(count) is int and 0 <= count <= _MOST for count in counts)
        and all(
            type(number) in (int, float) and abs(number) <= _MOST
            for number in (made.guidance, made.fps)
        )
    )


def write_student(folder: Path, student: Student, levels: Sequence[float]) -> None:
    """Say in a checkpoint folder that it is this student, sampled straight on at these levels."""
    scheduler = read_json(folder / _SCHEDULER)
    fixed = {"t_list": [*levels, 0.0], "sample_type": "ode"}
    write_json(folder / _SCHEDULER, {**scheduler, LEVELS: fixed})
    about = read_json(folder / _FILE, optional=True)
    write_json(folder / _FILE, {**about, _ENTRY: dataclasses.asdict(student)})


def read_student(folder: Path) -> Student | None:
    """None for checkpoints that do not say so; ValueError names a field that is wrong."""
    fields = read_json(folder / _FILE, optional=True).get(_ENTRY)
    if fields is None:
        return None
    try:
        made = Student(**{**fields, "modes": tuple(fields["modes"]), "size": (*fields["size"],)})
        if not _is_right(made):
            raise ValueError
        return made
    except (TypeError, KeyError, ValueError):
        known = ", ".join(field.name for field in dataclasses.fields(Student))
        raise ValueError(
            f"{folder / _FILE}: {_ENTRY}: expected {known}, got {fields!r:.60}"
        ) from None
