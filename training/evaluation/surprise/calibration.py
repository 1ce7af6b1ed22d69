# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 calibrate`: what a checkpoint's undisturbed episodes show, kept in its folder."""

from __future__ import annotations

import datetime
import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ....model.checkpoint_io.foreign import checkpoint_path
from ....model.checkpoint_io.trained_tasks import EMBEDDED
from ....model.interface import NS, ActionChunk, Observation
from ....model.policy import Cosmos3Policy
from ....model.surprise.comparison import ClipComparer, Preceding
from ....model.surprise.reference import Reference, places_of, weights_mark
from ....model.surprise.reference_file import FILE, write_reference
from ....sim.disturbances import KINDS
from ...data.clip_source import layout_of
from ...data.episodes import Episode
from ...data.lerobot_reader import read_episodes, read_info
from ...options import DataOptions
from ..closed_loop import Trial, load_once
from .episodes import CALIBRATION, DISTURBED, WatchedEpisode, read, record
from .fit import fit
from .probe import Seen
from .training_size import NETWORKS, STEPS


def plan(tasks: Sequence[str], undisturbed: int, disturbed: int) -> list[tuple[str, int, str]]:
    """Task, seed and disturbance of so many episodes of each task, evenly mixed."""
    kinds = list(KINDS)
    count = disturbed * len(tasks)
    found = []
    for number in range(undisturbed * len(tasks)):
        found.append((tasks[number % len(tasks)], CALIBRATION + number, ""))
        before, until = (
            done * count // (undisturbed * len(tasks)) for done in (number, number + 1)
        )
        found += [
            (tasks[one % len(tasks)], DISTURBED + one, kinds[one // len(tasks) % len(kinds)])
            for one in range(before, until)
        ]
    return found


def calibrate_in_simulation(
    trials: Sequence[tuple[Trial, str]],
    folder: Path | None = None,
    workers: int = 0,
    steps: int = STEPS,
    tell: Callable[[str], None] = print,
) -> Reference:
    """The reference of episodes of the simulation, each with a kind of disturbance or "".

    folder: keeps what was seen, so that a second call goes on where it stopped.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = record(folder or Path(temporary), trials, workers, tell)
        episodes = [read(file) for file in files]
    policy: Any = load_once(trials[0][0].checkpoint, trials[0][0].options)
    tasks = ", ".join(dict.fromkeys(trial.task for trial, _ in trials))
    return fit_to(policy, episodes, f"closed loop in the simulation: {tasks}", steps, tell=tell)


def calibrate_on_dataset(
    policy: Cosmos3Policy,
    dataset: Path,
    most: int,
    steps: int = STEPS,
    tell: Callable[[str], None] = print,
) -> Reference:
    """The reference of a LeRobotDataset: what is predicted for the rows that were played.

    Its episodes have to be undisturbed, and none that the checkpoint was trained with. ValueError
    names what is missing or differs.
    """
    info = read_info(dataset)
    layout = layout_of(info, policy.embodiment, DataOptions(dataset=str(dataset)))
    found = read_episodes(dataset, policy.embodiment, layout, info=info)
    episodes = [*itertools.islice(found, most)]
    fps = policy.embodiment.fps
    watched = [
        WatchedEpisode("", "", number, math.nan, len(episode) / fps, _windows(policy, episode))
        for number, episode in enumerate(episodes)
    ]
    return fit_to(policy, watched, f"dataset {dataset.name}", steps, tell=tell)


def _windows(policy: Cosmos3Policy, episode: Episode) -> list[Seen]:
    """One chunk after the other, as long as they fit."""
    embodiment, found, preceding = policy.embodiment, [], Preceding()
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
                seconds = (start + begin + piece - 1) / embodiment.fps
                comparison = preceding.add(round(seconds * NS), comparison)
                found.append(Seen(seconds, comparison))
    return found


def fit_to(
    policy: Cosmos3Policy,
    episodes: Sequence[WatchedEpisode],
    source: str,
    steps: int = STEPS,
    networks: int = NETWORKS,
    tell: Callable[[str], None] = print,
) -> Reference:
    """The reference of a policy's episodes, with what it was made of; source: in words."""
    shape = policy.latent_shape[2:]
    happened = sum(not math.isnan(episode.began) for episode in episodes)
    about = {
        "source": source,
        "weights": weights_mark(policy.model.path),
        "episodes": len(episodes),
        "disturbed": happened,
        "minutes": round(sum(episode.seconds for episode in episodes) / 60, 1),
        "comparisons": sum(len(episode.seen) for episode in episodes),
        "date": datetime.date.today().isoformat(),
    }
    places = places_of(policy.embodiment.canvas, (shape[0], shape[1]))
    views, device = policy.embodiment.views, policy.model.device
    return fit(episodes, views, places, about, steps, networks, tell, device)


def write(reference: Reference, checkpoint: str, out: Path | None) -> Path:
    """Write it into the checkpoint's folder, or to `out`; where it is."""
    file = out or checkpoint_path(checkpoint or EMBEDDED) / FILE
    write_reference(file, reference)
    return file
