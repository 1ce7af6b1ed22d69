# SPDX-License-Identifier: Apache-2.0
"""Episodes whose futures are compared with what came, in processes of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....model.interface import NS
from ....model.surprise.comparison import Comparison, Preceding
from ....sim.disturbances import Disturbance
from ....sim.env import shared_env
from ...data.parallel import in_parallel
from ..closed_loop import Trial, load_once, play
from .probe import Seen, SurpriseProbe

# First seeds: none of the evaluation, nor of a training.
CALIBRATION, DISTURBED = 500_000, 520_000


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """An episode to play.

    disturbance: a kind of `sim.disturbances`, "": none; file: where what was seen goes.
    """

    trial: Trial
    disturbance: str
    file: Path


@dataclasses.dataclass(frozen=True, slots=True)
class WatchedEpisode:
    """What was seen. began: the disturbance, s; NaN without one. seconds: how long it lasted."""

    disturbance: str
    task: str
    seed: int
    began: float
    seconds: float
    seen: list[Seen]

    @property
    def undisturbed_seconds(self) -> float:
        """How long nothing was the matter."""
        return self.seconds if math.isnan(self.began) else self.began

    def before(self) -> list[Seen]:
        """What was seen before anything happened."""
        began = math.inf if math.isnan(self.began) else self.began
        return [seen for seen in self.seen if seen.seconds <= began]


def record(
    folder: Path,
    trials: Sequence[tuple[Trial, str]],
    workers: int = 0,
    tell: Callable[[str], None] = print,
) -> list[Path]:
    """Play trials, each with a kind of disturbance or "", and keep what was seen in files.

    Those that are there already are not played again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        Watched(trial, kind, folder / f"{kind or 'none'}_{trial.task}_{trial.seed}.npz")
        for trial, kind in trials
    ]
    missing = [one for one in wanted if not one.file.exists()]
    for number, words in enumerate(in_parallel(_watch, missing, workers), 1):
        tell(f"{number}/{len(missing)}  {words}")
    return [one.file for one in wanted]


def _watch(wanted: Watched) -> str:
    """Play it; policy and simulation are made once per process."""
    trial = wanted.trial
    policy: Any = load_once(
        trial.checkpoint, trial.options, trial.device, trial.dtype, trial.runtime
    )
    env = shared_env(trial.task, distractors=trial.distractors)
    kind = wanted.disturbance
    probe = SurpriseProbe(policy, Disturbance(kind, trial.seed) if kind else None)
    outcome = play(policy, env, trial, probe=probe)
    _write(wanted, probe, outcome.seconds)
    return f"{trial.task} {trial.seed}, {kind or 'undisturbed'}: {outcome.seconds:.1f} s"


def _write(wanted: Watched, probe: SurpriseProbe, seconds: float) -> None:
    found = [seen.comparison for seen in probe.seen]
    latents: dict[str, Any] = {
        name: np.array([getattr(comparison, name) for comparison in found], np.float16)
        for name in ("begin", "predicted", "seen")
    }
    partial = wanted.file.with_suffix(".part")
    with partial.open("wb") as content:
        np.savez(
            content,
            kind=wanted.disturbance,
            task=wanted.trial.task,
            seed=wanted.trial.seed,
            began=probe.began,
            lasted=seconds,
            times=[seen.seconds for seen in probe.seen],
            index=[comparison.index for comparison in found],
            **latents,
        )
    partial.rename(wanted.file)


def read(file: Path) -> WatchedEpisode:
    """What `record` has kept of an episode."""
    with np.load(file, allow_pickle=False) as kept:
        latents = [kept[name].astype(np.float32) for name in ("begin", "predicted", "seen")]
        preceding, seen = Preceding(), []
        for time, index, *parts in zip(kept["times"], kept["index"], *latents, strict=True):
            comparison = preceding.add(round(float(time) * NS), Comparison(int(index), *parts))
            seen.append(Seen(float(time), comparison))
        numbers = float(kept["began"]), float(kept["lasted"])
        return WatchedEpisode(
            str(kept["kind"]), str(kept["task"]), int(kept["seed"]), *numbers, seen
        )
