# SPDX-License-Identifier: Apache-2.0
"""Inverse dynamics of whole clips: the actions of videos, as a LeRobot dataset or a table.

So recordings without actions become training data. Windows overlap, what they say of shared rows is
compared and blended.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...model.dynamics import Dynamics
from ...model.interface import Observation
from ..data.lerobot_writer import finish, write_shard
from .action_table import write_actions
from .pose_chain import carried_to
from .sources import SourceClip, check_start, state_at, states_of
from .windows import Differences, Rows, blend, overlaps, tell, window_starts

SOURCE = "inverse_dynamics"  # where a dataset says that the actions come from


@dataclasses.dataclass(frozen=True, slots=True)
class ReadActions:
    """What was read out of one clip.

    values: float32 [T - 1, D], row t leads from frame t to frame t + 1; states: float32 [T, D], as
    known, else where the rows lead; agreement, error: see `Differences.summary`, between windows,
    and to the clip's own actions if it has some.
    """

    values: np.ndarray
    states: np.ndarray
    windows: int
    agreement: Mapping[str, Mapping[str, float]]
    error: Mapping[str, Mapping[str, float]]


def read_actions_of(dynamics: Dynamics, clip: SourceClip, overlap: int) -> ReadActions:
    """The actions of a clip, from windows that share `overlap` rows.

    Where its states are not known, each window begins where the rows before led. ValueError if the
    clip has a single frame, or if its first state is needed and unknown.
    """
    embodiment, episode = dynamics.embodiment, clip.episode
    rows = len(episode) - 1
    if rows < 1:
        raise ValueError(f"{clip.name}: expected at least 2 frames, got {len(episode)}")
    check_start(clip, embodiment)
    windows: list[Rows] = []
    for start in window_starts(rows, embodiment.horizon, overlap):
        before = blend(windows, embodiment) if windows else np.zeros((0, len(embodiment.action)))
        state = state_at(clip, embodiment, before, start)
        end = min(start + embodiment.horizon, rows) + 1
        seen = Observation({}, state, episode.instructions[0], int(clip.stamps[start]))
        frames = clip.canvases(embodiment, start, end)
        found = dynamics.infer_actions(frames, seen).values
        led = before[start - 1] if start else None
        windows.append(Rows(start, carried_to(found, led, embodiment)))
    values = blend(windows, embodiment)
    error = Differences(embodiment)
    if clip.knows_actions:
        error.add(values, episode.actions[:rows])
    states = states_of(clip, embodiment, values)
    agreement = Differences(embodiment).extend(overlaps(windows))
    return ReadActions(values, states, len(windows), agreement.summary(), error.summary())


def inverse(
    dynamics: Dynamics,
    clips: Iterable[SourceClip],
    overlap: int,
    out: Path | None,
    table: Path | None,
    about: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Write what is read out of the clips, and return what is said of each.

    out: a new folder for a LeRobot dataset; table: a CSV file, for one clip; about: what
    dynamics.json begins with. ValueError if there is something already, or nothing to read.
    """
    if out is not None and out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: expected a new or an empty folder")
    if table is not None and table.exists():
        raise ValueError(f"{table} exists; expected a new file")
    embodiment, robot = dynamics.embodiment, ""
    log: list[dict[str, Any]] = []
    for clip in clips:
        if table is not None and log:
            raise ValueError(f"{table}: expected one episode for a table, got {clip.name} too")
        began = time.monotonic()
        read = read_actions_of(dynamics, clip, overlap)
        spent = (time.monotonic() - began) / read.windows
        log.append(_entry(clip, read, spent))
        say(_sentence(log[-1]))
        if table is not None:
            stamps = clip.stamps[:-1] + embodiment.step
            write_actions(table, read.values, stamps.tolist(), embodiment)
        if out is not None:
            robot = clip.robot
            actions = np.concatenate([read.values, read.values[-1:]])  # the last one is held
            episode = dataclasses.replace(clip.episode, states=read.states, actions=actions)
            number = len(log) - 1
            write_shard(out, number, number, [episode], embodiment)
    if not log:
        raise ValueError("expected a clip to read, got none")
    if out is not None:
        finish(out, len(log), embodiment, robot, [[SOURCE]] * len(embodiment.action))
        text = json.dumps({**about, "overlap": overlap, "episodes": log}, indent=2)
        (out / "dynamics.json").write_text(text + "\n", encoding="utf-8")
    return log


def _entry(clip: SourceClip, read: ReadActions, seconds: float) -> dict[str, Any]:
    return {
        "source": clip.name,
        "frames": len(clip.episode),
        "stamp": int(clip.stamps[0]),
        "instruction": clip.episode.instructions[0],
        "windows": read.windows,
        "seconds_per_window": round(seconds, 3),
        "states": "known" if clip.knows_states else "followed from the first frame's",
        "agreement": read.agreement,
        "error": read.error,
    }


def _sentence(entry: Mapping[str, Any]) -> str:
    """One line for a person."""
    parts = [
        f"{entry['source']}: {entry['frames']} frames in {entry['windows']} window(s) of "
        f"{entry['seconds_per_window']:.2f} s, states {entry['states']}"
    ]
    if entry["agreement"]:
        parts.append(f"windows differ by {tell(entry['agreement'])}")
    if entry["error"]:
        parts.append(f"from the actions recorded beside it: {tell(entry['error'])}")
    return "; ".join(parts)
