# SPDX-License-Identifier: Apache-2.0
"""Closed loop without ROS: simulation, policy and the commander's rules for chunks, many episodes in parallel."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..graph import robot_file
from ..model.interface import NS, ActionChunk, Policy
from ..motion import Limits
from ..player import Player
from ..sim.env import Env
from ..sim.robot import ARM, FINGER_CLOSED
from ..sim.tasks import find
from ..sim.world import TICKS_PER_SECOND
from .collect import in_parallel


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One episode to try. wording: see sim.tasks, -1 is the one that is never in training.

    latency: s between the pictures and their chunk; replan: s between two pictures that are answered, at least;
    limit: s until it has failed. options: of PolicyOptions.
    """

    checkpoint: str
    task: str
    seed: int
    wording: int = 0
    distractors: int = 2
    latency: float = 0.3
    replan: float = 0.4
    limit: float = 10.0
    options: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How it went. seconds: until solved, or the limit; chunk_seconds: what the policy took per chunk, median.

    miss: smallest distance of the tool to the named object, m (infinite if none is named); rejected: chunks refused.
    """

    task: str
    seed: int
    success: bool
    seconds: float
    chunk_seconds: float
    miss: float
    rejected: int


def play(policy: Policy, env: Env, trial: Trial) -> Outcome:
    """Run one episode: the world stands still while the policy thinks, and `latency` passes on its clock instead."""
    wordings = len(find(trial.task).wordings)
    env.reset(trial.task, trial.seed, trial.wording % wordings)
    policy.reset()
    simulation, player = env.simulation, Player(ARM, arm_limits(), policy.embodiment.discrete[0])
    player.start_at(0, simulation.layout.start)
    spent, miss, finger, free = [], math.inf, 0.0, 0
    coming: tuple[int, ActionChunk] | None = None
    while not simulation.success and simulation.elapsed < trial.limit * NS:
        now = simulation.elapsed
        if coming is None and now >= free:
            prediction = policy.infer(env.observe())
            spent.append(sum(prediction.seconds.values()))
            coming, free = (now + round(trial.latency * NS), prediction.chunk), now + round(trial.replan * NS)
        if coming is not None and now >= coming[0]:
            player.load(now, coming[1], len(spent), measured=simulation.world.positions()[:7])
            coming = None
        if reason := player.due(now):
            player.hold(now, reason)
        assert player.motion is not None  # since start_at
        closed = player.gripper_position(now)
        finger = finger if closed is None else min(max(closed, 0.0), 1.0) * FINGER_CLOSED
        simulation.tick(player.motion.at(now + NS // TICKS_PER_SECOND)[0], finger)
        miss = min(miss, _distance(env))
    seconds = simulation.elapsed / NS
    return Outcome(trial.task, trial.seed, simulation.success, seconds, statistics.median(spent), miss, player.rejected)


@functools.cache
def arm_limits() -> Limits:
    """The commander's limits for the simulated arm, from its robot file."""
    fields = yaml.safe_load(robot_file("droid_sim").read_text(encoding="utf-8"))["/**/commander"]["ros__parameters"]
    return Limits(**{field.name: np.array(fields[field.name], float) for field in dataclasses.fields(Limits)})


def _distance(env: Env) -> float:
    world, target = env.simulation.world, env.simulation.layout.target
    return float(np.linalg.norm(world.tool() - world.position(target))) if target else math.inf


def run_trial(trial: Trial) -> Outcome:
    """`play` in a process of its own: the policy and the simulation are made once per process."""
    policy = _policy(trial.checkpoint, trial.options)
    return play(policy, _env(trial.task, trial.distractors), trial)


@functools.cache
def _policy(checkpoint: str, options: tuple[tuple[str, Any], ...]) -> Policy:
    import torch

    from ..model.policy import load_policy

    torch.set_num_threads(1)
    return load_policy(checkpoint, **dict(options))


@functools.cache
def _env(task: str, distractors: int) -> Env:
    return Env(distractors=distractors)


def evaluate(trials: Sequence[Trial], workers: int = 0, tell: Callable[[str], None] = print) -> list[Outcome]:
    """Run all trials in parallel; they come back in the order given."""
    outcomes = []
    for number, outcome in enumerate(in_parallel(run_trial, trials, workers), 1):
        outcomes.append(outcome)
        tell(f"{number}/{len(trials)}  {outcome.task} {outcome.seed}: {'solved' if outcome.success else 'failed'}")
    order = {(trial.task, trial.seed): number for number, trial in enumerate(trials)}
    return sorted(outcomes, key=lambda outcome: order[outcome.task, outcome.seed])


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a success rate."""
    z, rate = 1.96, successes / trials
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def summarise(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """Per task: trials, successes, rate, its interval, median seconds to success, of a chunk, and of the miss in m."""
    table: dict[str, dict[str, Any]] = {}
    outcomes = list(outcomes)
    for task in dict.fromkeys(outcome.task for outcome in outcomes):
        rows = [outcome for outcome in outcomes if outcome.task == task]
        solved = [outcome.seconds for outcome in rows if outcome.success]
        low, high = wilson(len(solved), len(rows))
        table[task] = {
            "trials": len(rows),
            "successes": len(solved),
            "rate": len(solved) / len(rows),
            "low": low,
            "high": high,
            "seconds": statistics.median(solved) if solved else None,
            "chunk_seconds": statistics.median(outcome.chunk_seconds for outcome in rows),
            "miss": statistics.median(outcome.miss for outcome in rows),
        }
    return table


def table(outcomes: Iterable[Outcome]) -> str:
    """The summary as text, one line per task."""
    lines = [f"{'task':14}{'solved':>9}  95 % interval   s to success  ms per chunk"]
    for task, row in summarise(outcomes).items():
        solved = f"{row['successes']}/{row['trials']}"
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
        lines.append(f"{task:14}{solved:>9}  {interval:15} {seconds:>12} {1000 * row['chunk_seconds']:>13.0f}")
    return "\n".join(lines)


def write_report(file: Path, trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> None:
    """All that was tried and what came of it, as json."""
    file.parent.mkdir(parents=True, exist_ok=True)
    episodes = [dataclasses.asdict(outcome) for outcome in outcomes]
    episodes = [episode | {"miss": episode["miss"] if math.isfinite(episode["miss"]) else None} for episode in episodes]
    summary = summarise(outcomes)
    for row in summary.values():
        row["miss"] = row["miss"] if math.isfinite(row["miss"]) else None
    trial = dataclasses.asdict(trials[0]) | {"task": None, "seed": None}
    content = {"settings": trial, "summary": summary, "episodes": episodes}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
