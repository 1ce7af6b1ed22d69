# SPDX-License-Identifier: Apache-2.0
"""How soon disturbances are noticed by comparing predicted futures with what comes.

python bench/surprise.py FOLDER [--undisturbed 100] [--moved 100] [--others 20] [--workers 0]
[--seen | --cost] [--out surprise.json]

Episodes of the embedded checkpoint in closed loop, without ROS, some of them disturbed: the cube of
the task is moved by a hand, slips out of the gripper, a camera is bumped, the light changes, the
arm is blocked. FOLDER keeps them; a second call plays only what is missing. Each episode is judged
by a reference made of the others' undisturbed parts, in folds. An alarm within a second after a
disturbance began is right, one before it or in an undisturbed episode is false; alarms of one
second count as one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.surprise.comparison import ClipComparer
from cosmos3_ros.model.surprise.reference import places_of
from cosmos3_ros.sim.disturbances import KINDS
from cosmos3_ros.training.evaluation.closed_loop import Trial, load_once
from cosmos3_ros.training.evaluation.statistics import wilson
from cosmos3_ros.training.evaluation.surprise.episodes import (
    CALIBRATION,
    WatchedEpisode,
    read,
    record,
)
from cosmos3_ros.training.evaluation.surprise.fit import usual

OPTIONS = (("num_steps", 4), ("guidance", 1.0), ("future_steps", 1))
TASKS = ("reach", "lift", "push", "bowl", "drawer")
WITH_CUBE = TASKS[:4]
FIRST = 510_000  # seed of the first disturbed episode
SOON = 1.0  # s after a disturbance
FOLDS = 4
RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # false alarms in ten minutes
TEN_MINUTES = 600.0

Scored = list[tuple[float, np.ndarray]]  # s, and the excess of every place


def trials(args: argparse.Namespace) -> list[tuple[Trial, str]]:
    """Undisturbed and disturbed episodes, evenly mixed, so that a part of them is one of all."""
    counts = {"": args.undisturbed, **dict.fromkeys(KINDS, args.others), "moved": args.moved}
    found = []
    for kind, count in counts.items():
        tasks = (
            TASKS if kind in ("", "blocked") else ("lift", "bowl") if kind == "slip" else WITH_CUBE
        )
        first = CALIBRATION if not kind else FIRST
        for number in range(count):
            seed, task = first + number, tasks[number % len(tasks)]
            trial = Trial(str(args.checkpoint), task, seed, limit=8.0, options=OPTIONS)
            found.append(((number + 0.5) / count, trial, kind))
    return [(trial, kind) for _, trial, kind in sorted(found, key=lambda one: one[0])]


def scored(episodes: Sequence[WatchedEpisode]) -> list[Scored]:
    """Every comparison of every episode, judged by the other folds."""
    places = places_of(
        EMBODIMENTS["droid_sim"].canvas, episodes[0].seen[0].comparison.seen.shape[1:]
    )
    views = EMBODIMENTS["droid_sim"].views
    found: list[Scored] = [[] for _ in episodes]
    for fold in range(FOLDS):
        rest = [e for number, e in enumerate(episodes) if number % FOLDS != fold]
        reference = usual(
            [[seen.comparison for seen in episode.before()] for episode in rest], views, places
        )
        for number in range(fold, len(episodes), FOLDS):
            found[number] = [
                (seen.seconds, reference.excess(seen.comparison)) for seen in episodes[number].seen
            ]
    return found


def period(episodes: Sequence[WatchedEpisode]) -> float:
    """Seconds of undisturbed time for each comparison."""
    return sum(map(undisturbed_seconds, episodes)) / sum(len(e.before()) for e in episodes)


def undisturbed_seconds(episode: WatchedEpisode) -> float:
    """How long nothing was the matter."""
    return episode.seconds if math.isnan(episode.began) else episode.began


def largest(parts: Sequence[np.ndarray]) -> float:
    """Of the last comparison's places."""
    return float(parts[-1].max())


def mean(parts: Sequence[np.ndarray]) -> float:
    """Of the last comparison's places."""
    return float(parts[-1].mean())


def twice(parts: Sequence[np.ndarray]) -> float:
    """What two comparisons in a row reach."""
    return min(largest(parts[:1]), largest(parts)) if len(parts) > 1 else 0.0


def two_views(parts: Sequence[np.ndarray]) -> float:
    """What two of the three views reach."""
    places = places_of(EMBODIMENTS["droid_sim"].canvas, parts[-1].shape)
    views = sorted(float(parts[-1][places == view].max()) for view in range(places.max() + 1))
    return views[-2]


STATISTICS: dict[str, Callable[[Sequence[np.ndarray]], float]] = {
    "largest of all places": largest,
    "mean of all places": mean,
    "largest, two in a row": twice,
    "largest, in two views": two_views,
}


def series(found: Scored, statistic: Callable[[Sequence[np.ndarray]], float]) -> np.ndarray:
    """Times and values: [n, 2]."""
    grids = [grid for _, grid in found]
    values = [statistic(grids[max(0, end - 2) : end]) for end in range(1, len(grids) + 1)]
    return np.array([(one[0], value) for one, value in zip(found, values, strict=True)])


def alarms(times: np.ndarray) -> int:
    """How many alarms these moments are, if those of one second count as one."""
    count, since = 0, -math.inf
    for moment in times:
        if moment - since > SOON:
            count, since = count + 1, moment
    return count


def delay(episode: WatchedEpisode, curve: np.ndarray, threshold: float) -> float | None:
    """Seconds until it was noticed; None if it was not within SOON."""
    after = curve[:, 0] - episode.began
    hits = after[(after > 0) & (after <= SOON) & (curve[:, 1] >= threshold)]
    return float(hits[0]) if len(hits) else None


def threshold_for(rate: float, quiet: Sequence[np.ndarray], minutes: float) -> float:
    """The lowest threshold with at most so many false alarms in ten minutes."""
    values = np.unique(np.concatenate([curve[:, 1] for curve in quiet]))
    allowed = rate * minutes / 10
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        count = sum(alarms(curve[curve[:, 1] > values[middle], 0]) for curve in quiet)
        low, high = (low, middle) if count <= allowed else (middle + 1, high)
    return float(np.nextafter(values[min(low, len(values) - 1)], np.inf))


def roc(
    episodes: Sequence[WatchedEpisode], curves: Sequence[np.ndarray], minutes: float
) -> list[dict[str, Any]]:
    """For each rate of false alarms: the threshold, and how much of each kind is noticed."""
    quiet = [
        curve[curve[:, 0] <= undisturbed_seconds(episode)]
        for episode, curve in zip(episodes, curves, strict=True)
    ]
    rows = []
    for rate in RATES:
        threshold = threshold_for(rate, quiet, minutes)
        row: dict[str, Any] = {"false_alarms_in_ten_minutes": rate, "threshold": threshold}
        for kind in KINDS:
            happened = [
                (episode, curve)
                for episode, curve in zip(episodes, curves, strict=True)
                if episode.disturbance == kind and not math.isnan(episode.began)
            ]
            delays = [delay(episode, curve, threshold) for episode, curve in happened]
            hits = [seconds for seconds in delays if seconds is not None]
            low, high = wilson(len(hits), len(delays)) if delays else (math.nan, math.nan)
            row[kind] = {
                "noticed": len(hits),
                "of": len(delays),
                "low": low,
                "high": high,
                "median_seconds": statistics.median(hits) if hits else None,
            }
        rows.append(row)
    return rows


def cost(checkpoint: Path, times: int = 5) -> dict[str, float]:
    """What comparing takes on one thread, ms of processor time, medians."""
    policy: Any = load_once(str(checkpoint), OPTIONS)
    random = np.random.default_rng(0)
    moments = [
        {view: random.integers(0, 256, (180, 320, 3), np.uint8) for view in policy.embodiment.views}
        for _ in range(1 + 3 * policy.model.vae.temporal)
    ]
    observation = Observation(moments[0], policy.embodiment.neutral_state(), "wait", 0)
    spent: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[[], Any]) -> Any:
        began = time.thread_time()
        result = function()
        spent.setdefault(name, []).append(1000 * (time.thread_time() - began))
        return result

    for _ in range(times):
        prediction = timed("a chunk", lambda: policy.infer(observation))
        comparer = ClipComparer(policy, observation, prediction)
        timed("the observed moment", functools.partial(comparer.add, moments[:1]))
        timed("the first four pictures, as planned", functools.partial(comparer.add, moments[1:5]))
        timed(
            "four pictures, no step of the network", functools.partial(comparer.add, moments[5:9])
        )
        played = dataclasses.replace(prediction.chunk, values=prediction.chunk.values[:12])
        last = functools.partial(comparer.add, moments[9:13], played)
        timed("four pictures, as commanded", last)
    return {name: statistics.median(values) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED)
    parser.add_argument("--undisturbed", type=int, default=100)
    parser.add_argument("--moved", type=int, default=100)
    parser.add_argument("--others", type=int, default=20, help="of each other kind")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seen", action="store_true", help="judge what FOLDER has, play nothing")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cost", action="store_true", help="only what comparing takes")
    args = parser.parse_args()
    packages = ("torch", "numpy", "mujoco", "diffusers")
    if args.cost:
        command = "OMP_NUM_THREADS=1 python bench/surprise.py FOLDER --cost"
        report(command, packages, args.out, milliseconds=cost(args.checkpoint))
        return
    files = [] if args.seen else record(args.folder, trials(args), args.workers)
    episodes = [read(file) for file in files or sorted(args.folder.glob("*.npz"))]
    episodes = [episode for episode in episodes if episode.seen]
    found, seconds = scored(episodes), sum(map(undisturbed_seconds, episodes))
    curves = {
        name: roc(episodes, [series(one, statistic) for one in found], seconds / 60)
        for name, statistic in STATISTICS.items()
    }
    report(
        f"python bench/surprise.py FOLDER --undisturbed {args.undisturbed} --moved {args.moved} "
        f"--others {args.others}",
        packages,
        args.out,
        episodes=len(episodes),
        undisturbed_minutes=seconds / 60,
        comparisons_per_second=1 / period(episodes),
        roc=curves,
    )


if __name__ == "__main__":
    main()
