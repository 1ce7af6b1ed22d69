# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 calibrate`: what a checkpoint's undisturbed episodes show, kept in its folder."""

from __future__ import annotations

import datetime
import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ....model.checkpoint_io.foreign import checkpoint_path
from ....model.checkpoint_io.trained_tasks import EMBEDDED
from ....model.interface import ActionChunk, Observation
from ....model.policy import Cosmos3Policy
from ....model.surprise.comparison import ClipComparer, Comparison
from ....model.surprise.reference import (
    FILE,
    Reference,
    places_of,
    weights_mark,
    write_reference,
)
from ...data.clip_source import layout_of
from ...data.episodes import Episode
from ...data.lerobot_reader import read_episodes
from ...options import DataOptions
from ..closed_loop import Trial, load_once
from .episodes import read, record
from .fit import fit


def calibrate_in_simulation(
    trials: Sequence[Trial],
    folder: Path | None = None,
    workers: int = 0,
    tell: Callable[[str], None] = print,
) -> Reference:
    """The reference of undisturbed episodes of the simulation.

    folder: keeps what was seen, so that a second call goes on where it stopped.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = record(folder or Path(temporary), [(trial, "") for trial in trials], workers, tell)
        episodes = [read(file) for file in files]
    parts = [[seen.comparison for seen in episode.seen] for episode in episodes if episode.seen]
    seconds = sum(episode.seconds for episode in episodes)
    policy: Any = load_once(trials[0].checkpoint, trials[0].options)
    tasks = ", ".join(dict.fromkeys(trial.task for trial in trials))
    return _fit(policy, parts, seconds, f"closed loop in the simulation: {tasks}")


def calibrate_on_dataset(policy: Cosmos3Policy, dataset: Path, most: int) -> Reference:
    """The reference of a LeRobotDataset: what is predicted for the rows that were played.

    Its episodes have to be undisturbed, and none that the checkpoint was trained with. ValueError
    names what is missing or differs.
    """
    layout = layout_of(dataset, policy.embodiment, DataOptions(dataset=str(dataset)))
    episodes = [*itertools.islice(read_episodes(dataset, policy.embodiment, layout), most)]
    parts = [_windows(policy, episode) for episode in episodes]
    seconds = sum(len(episode) for episode in episodes) / policy.embodiment.fps
    return _fit(policy, [part for part in parts if part], seconds, f"dataset {dataset.name}")


def _windows(policy: Cosmos3Policy, episode: Episode) -> list[Comparison]:
    """One chunk after the other, as long as they fit."""
    embodiment, found = policy.embodiment, []
    assert policy.model.vae is not None  # a policy has one
    piece = policy.model.vae.temporal
    for start in range(0, len(episode) - embodiment.horizon, embodiment.horizon):
        views = [
            {view: frames[start + step] for view, frames in episode.views.items()}
            for step in range(embodiment.horizon + 1)
        ]
        observation = Observation(views[0], episode.states[start], episode.instructions[0], 0)
        rows = episode.actions[start : start + embodiment.horizon]
        chunk = ActionChunk(rows, embodiment.action_names, 0, embodiment.step, embodiment.discrete)
        comparer = ClipComparer(policy, observation, policy.imagine(observation, chunk))
        comparer.add(views[:1])
        for begin in range(1, embodiment.horizon + 2 - piece, piece):
            if comparison := comparer.add(views[begin : begin + piece]):
                found.append(comparison)
    return found


def _fit(
    policy: Cosmos3Policy, parts: Sequence[Sequence[Comparison]], seconds: float, source: str
) -> Reference:
    shape = policy.latent_shape[2:]
    about = {
        "source": source,
        "weights": weights_mark(policy.model.path),
        "episodes": len(parts),
        "minutes": round(seconds / 60, 1),
        "comparisons": sum(map(len, parts)),
        "date": datetime.date.today().isoformat(),
    }
    places = places_of(policy.embodiment.canvas, (shape[0], shape[1]))
    count = sum(map(len, parts))
    period = seconds / max(1, count)
    return fit(parts, policy.embodiment.views, places, period, about)


def write(reference: Reference, checkpoint: str, out: Path | None) -> Path:
    """Write it into the checkpoint's folder, or to `out`; where it is."""
    file = out or checkpoint_path(checkpoint or EMBEDDED) / FILE
    write_reference(file, reference)
    return file
