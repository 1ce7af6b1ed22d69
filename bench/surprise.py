# SPDX-License-Identifier: Apache-2.0
"""How soon disturbances are noticed by comparing predicted futures with what comes.

python bench/surprise.py FOLDER [--undisturbed 100] [--moved 100] [--others 20] [--workers 0]
[--steps 450] [--networks 4] [--device cpu] [--alone] [--seen | --cost] [--reference FILE]
[--out surprise.json]

Episodes of the embedded checkpoint in closed loop, without ROS, some of them disturbed: the cube of
the task is moved by a hand, slips out of the gripper, a camera is bumped, the light changes, the
arm is blocked. FOLDER keeps them; a second call plays only what is missing. Three of four are
trained with, as `cosmos3 calibrate` does (--alone: of the undisturbed alone), and every fourth one
is judged. An alarm within a second after a disturbance began is right, one before it or in an
undisturbed episode is false; alarms of one second count as one. --reference keeps what was trained.
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
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.surprise.comparison import ClipComparer
from cosmos3_ros.model.surprise.reference import Reference
from cosmos3_ros.model.surprise.reference_file import FILE, read_reference, write_reference
from cosmos3_ros.sim.disturbances import KINDS
from cosmos3_ros.training.evaluation.closed_loop import Trial, load_once
from cosmos3_ros.training.evaluation.statistics import wilson
from cosmos3_ros.training.evaluation.surprise.calibration import fit_to
from cosmos3_ros.training.evaluation.surprise.episodes import (
    CALIBRATION,
    WatchedEpisode,
    read,
    record,
)
from cosmos3_ros.training.evaluation.surprise.fit import SOON, split
from cosmos3_ros.training.evaluation.surprise.training_size import NETWORKS, STEPS

OPTIONS = (("num_steps", 4), ("guidance", 1.0), ("future_steps", 1))
TASKS = ("reach", "lift", "push", "bowl", "drawer")
WITH_CUBE = TASKS[:4]
FIRST = 510_000  # seed of the first disturbed episode
RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # false alarms in ten minutes
TEN_MINUTES = 600.0


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


def scored(reference: Reference, episodes: Sequence[WatchedEpisode]) -> list[np.ndarray]:
    """Of every comparison of every episode s, and how surprising it is in nats: [n, 2] each."""
    found = []
    for episode in episodes:
        _, of_view = reference.nats([seen.comparison for seen in episode.seen])
        found.append(np.column_stack([[s.seconds for s in episode.seen], of_view.max(1)]))
    return found


def period(episodes: Sequence[WatchedEpisode]) -> float:
    """Seconds of undisturbed time for each comparison."""
    return sum(episode.undisturbed_seconds for episode in episodes) / sum(
        len(e.before()) for e in episodes
    )


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
        curve[curve[:, 0] <= episode.undisturbed_seconds]
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
    reference = read_reference(checkpoint / FILE)
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
        found = timed("four pictures, as commanded", last)
        timed("how surprising", functools.partial(reference.surprise, found, 0))
    return {name: statistics.median(values) for name, values in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED)
    parser.add_argument("--undisturbed", type=int, default=100)
    parser.add_argument("--moved", type=int, default=100)
    parser.add_argument("--others", type=int, default=20, help="of each other kind")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS, help="of training each network")
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--device", default="cpu", help="what the networks are trained on")
    parser.add_argument("--alone", action="store_true", help="train with nothing disturbed")
    parser.add_argument("--reference", type=Path, help="file to keep what was trained in")
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
    began = time.monotonic()
    reference = trained(args, episodes)
    _, judged = split(episodes)
    seconds = sum(episode.undisturbed_seconds for episode in judged)
    report(
        f"python bench/surprise.py FOLDER --undisturbed {args.undisturbed} --moved {args.moved} "
        f"--others {args.others}{' --alone' * args.alone}",
        packages,
        args.out,
        episodes=len(episodes),
        judged=len(judged),
        undisturbed_minutes=seconds / 60,
        comparisons_per_second=1 / period(judged),
        trained_in_s=time.monotonic() - began,
        once=reference.once,
        roc=roc(judged, scored(reference, judged), seconds / 60),
    )


def trained(args: argparse.Namespace, episodes: Sequence[WatchedEpisode]) -> Reference:
    """As `calibrate` does it; kept if that is asked for."""
    policy: Any = load_once(str(args.checkpoint), OPTIONS, args.device)
    learned = [quiet(episode) for episode in episodes] if args.alone else episodes
    source = "closed loop in the simulation, by bench/surprise.py"
    reference = fit_to(policy, learned, source, args.steps, args.networks)
    if args.reference:
        write_reference(args.reference, reference)
    return reference


def quiet(episode: WatchedEpisode) -> WatchedEpisode:
    """What was seen of it before anything happened."""
    return dataclasses.replace(
        episode, seen=episode.before(), began=math.nan, seconds=episode.undisturbed_seconds
    )


if __name__ == "__main__":
    main()
