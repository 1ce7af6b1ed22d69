# SPDX-License-Identifier: Apache-2.0
"""Closed-loop episodes without ROS: simulation, policy, and the commander's playback of chunks."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...execution.chunk_player import ChunkPlayer, PlaybackRules
from ...execution.spline_motion import Limits
from ...model.interface import NS, ActionChunk, Observation, Policy, Prediction
from ...model.model_params import PolicyModelParams
from ...robot.robot_file import find_robot_file, read_parameters
from ...sim.arm_constants import FINGER_CLOSED
from ...sim.env import Env, shared_env
from ...sim.real_time_pace import TICKS_PER_SECOND
from ...sim.tasks import find, robot_of
from ..data.parallel import in_parallel
from .plots import write_strip
from .smoothness_metrics import log_dimensionless_jerk, spectral_arc_length
from .statistics import wilson

Picture = tuple[float, np.ndarray]  # s since the beginning, and the canvas that the policy saw then
STRIP = 8  # pictures of an episode that failed


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One episode to try."""

    checkpoint: str
    task: str
    seed: int
    wording: int = 0  # see sim.tasks; -1: the one that is never in training
    distractors: int = 2
    latency: float = 0.3  # from observation to chunk, s
    replan: float = 0.4  # between two observations, at least, s
    limit: float = 10.0  # after which the episode has failed, s
    options: tuple[tuple[str, Any], ...] = ()  # of PolicyOptions
    device: str = "cpu"  # of the policy
    dtype: str = "float32"
    runtime: tuple[tuple[str, Any], ...] = ()  # of PolicyModelParams: weights, compile, ...
    graph: tuple[tuple[str, Any], ...] = ()  # of the nodes' Options, through nodes only


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode went; NaN: not known."""

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float  # until solved, or the limit
    chunk_seconds: float  # what the policy took per chunk, median
    miss: float  # smallest distance of the tool to the named object, m; infinite if none is named
    rejected: int  # chunks that were refused
    limited: int  # chunks that were slowed down or cut off
    chunks: int  # all chunks
    # smoothness of the measured joint velocities over the whole episode at 120 Hz, see
    # smoothness_metrics
    arc: float
    jerk: float
    real_time: float = math.nan  # simulated seconds per second


class Played:
    """Outcomes of earlier calls, and what keeps those of this one. This one has and keeps none."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self._outcomes = {(outcome.task, outcome.seed): outcome for outcome in outcomes}

    def split(self, trials: Sequence[Trial]) -> tuple[list[Outcome], list[Trial]]:
        """The outcomes of the trials that were played before, and the trials that are left."""
        keys = [(trial.task, trial.seed) for trial in trials]
        return (
            [self._outcomes[key] for key in keys if key in self._outcomes],
            [trial for key, trial in zip(keys, trials, strict=True) if key not in self._outcomes],
        )

    def keep(self, outcome: Outcome) -> None:
        """An episode has ended."""


class Probe:
    """Looks on while an episode is played, and may interfere. This one does neither."""

    def inferred(self, observation: Observation, prediction: Prediction) -> None:
        """The policy has answered; the world stands still."""

    def playing(self, number: int, base: int, now: int) -> None:
        """The chunk of this number (from 1) is played from now on, its rows count from `base`, ns.

        0: none is.
        """

    def tick(self, env: Env, targets: np.ndarray) -> np.ndarray:
        """Before a tick of the simulation: what the servos get in place of these targets, rad."""
        return targets

    def goes_on(self, solved: bool, now: int) -> bool:
        """Whether the episode goes on, within its limit."""
        return not solved


def play(
    policy: Policy,
    env: Env,
    trial: Trial,
    seen: list[Picture] | None = None,
    probe: Probe | None = None,
) -> Outcome:
    """Run one episode; during an inference the world stands still, then `latency` passes for it.

    seen: gets what the policy saw.
    """
    probe = probe or Probe()
    wordings = len(find(trial.task).wordings)
    env.reset(trial.task, trial.seed, trial.wording % wordings)
    policy.reset()
    simulation, (limits, rules) = env.simulation, commander_settings(robot_of(trial.task))
    arms = simulation.world.arms
    joints = tuple(joint for arm in arms for joint in arm.mount.joints)
    player = ChunkPlayer(joints, limits, policy.embodiment.discrete, rules)
    player.start_at(0, simulation.layout.start)
    spent, path, miss, free = [], [], math.inf, 0
    fingers = dict.fromkeys(policy.embodiment.discrete, 0.0)
    coming: tuple[int, ActionChunk] | None = None
    while simulation.elapsed < trial.limit * NS:
        now = simulation.elapsed
        if not probe.goes_on(simulation.success, now):
            break
        if coming is None and now >= free:
            observation = env.observe()
            prediction = policy.infer(observation)
            probe.inferred(observation, prediction)
            if seen is not None:
                seen.append((now / NS, policy.embodiment.compose(observation.images)))
            spent.append(sum(prediction.seconds.values()))
            coming, free = (
                (now + round(trial.latency * NS), prediction.chunk),
                now + round(trial.replan * NS),
            )
        if coming is not None and now >= coming[0]:
            measured = _without_fingers(simulation.world.positions())
            if player.load(now, coming[1], len(spent), measured=measured) and player.loaded:
                probe.playing(len(spent), player.loaded.chunk.stamp, now)
            coming = None
        if reason := player.end_reason(now):
            player.hold(now, reason)
            probe.playing(0, 0, now)
        assert player.motion is not None  # since start_at
        for name, closed in player.gripper_positions(now).items():
            fingers[name] = min(max(closed, 0.0), 1.0) * FINGER_CLOSED
        targets = player.motion.at(now + NS // TICKS_PER_SECOND)[0]
        simulation.tick(probe.tick(env, targets), np.array([*fingers.values()]))
        path.append(_without_fingers(simulation.world.velocities()))
        miss = min(miss, _distance(env))
    velocities = np.stack(path)
    return Outcome(
        task=trial.task,
        seed=trial.seed,
        instruction=simulation.instruction,
        success=simulation.success,
        seconds=simulation.elapsed / NS,
        chunk_seconds=statistics.median(spent),
        miss=miss,
        rejected=player.rejected,
        limited=player.limited,
        chunks=len(spent),
        arc=spectral_arc_length(np.linalg.norm(velocities, axis=1), TICKS_PER_SECOND),
        jerk=log_dimensionless_jerk(velocities, TICKS_PER_SECOND),
    )


def _without_fingers(numbers: np.ndarray) -> np.ndarray:
    """Those of the arms' joints [7 each], of numbers of joints and fingers [8 each]."""
    return numbers.reshape(-1, 8)[:, :7].ravel()


@functools.cache
def commander_settings(robot: str = "droid_sim") -> tuple[Limits, PlaybackRules]:
    """What the commander of a simulated robot is told, from its robot file."""
    fields = read_parameters(find_robot_file(robot), "commander")
    limits = Limits(
        **{field.name: np.array(fields[field.name], float) for field in dataclasses.fields(Limits)}
    )
    return limits, PlaybackRules(smooth=fields["smooth_rows"])


def _distance(env: Env) -> float:
    world, target = env.simulation.world, env.simulation.layout.target
    return float(np.linalg.norm(world.tool() - world.position(target))) if target else math.inf


def run_trial(trial: Trial) -> tuple[Outcome, list[Picture]]:
    """`play` in a process of its own, with some of what was seen if it failed."""
    seen: list[Picture] = []
    policy = load_once(trial.checkpoint, trial.options, trial.device, trial.dtype, trial.runtime)
    env = shared_env(trial.task, distractors=trial.distractors)
    outcome = play(policy, env, trial, seen)
    indices = np.linspace(0, len(seen) - 1, min(STRIP, len(seen))).round().astype(int)
    return outcome, [] if outcome.success else [seen[index] for index in indices]


@functools.cache
def load_once(
    checkpoint: str,
    options: tuple[tuple[str, Any], ...],
    device: str = "cpu",
    dtype: str = "float32",
    runtime: tuple[tuple[str, Any], ...] = (),
) -> Policy:
    """The policy, made once per process, on one thread."""
    import torch

    from ...model.policy import load_policy
    from ...model.registry import Models
    from ...model.runtime.device import DTYPES

    torch.set_num_threads(1)
    if runtime or dict(options).get("best_of", 1) > 1:
        given = {**dict(options), **dict(runtime), "device": device, "dtype": dtype}
        return Models(reasoner=False).policy(PolicyModelParams(checkpoint, **given))
    return load_policy(checkpoint, device=device, dtype=DTYPES[dtype], **dict(options))


def evaluate(
    trials: Sequence[Trial],
    workers: int = 0,
    tell: Callable[[str], None] = print,
    strips: Path | None = None,
    most: int = 3,
    played: Played | None = None,
) -> list[Outcome]:
    """Run all trials in parallel; they come back in the order given.

    strips: folder for a picture of each failure, at most `most` of a task. played: trials that it
    has already are not run again, and it gets each of the others when it has ended.
    """
    played = played or Played()
    outcomes, left = played.split(trials)
    for number, (outcome, seen) in enumerate(
        in_parallel(run_trial, left, workers), len(outcomes) + 1
    ):
        outcomes.append(outcome)
        played.keep(outcome)
        tell(
            f"{number}/{len(trials)}  {outcome.task} {outcome.seed}: "
            f"{'solved' if outcome.success else 'failed'}"
        )
        if (
            strips
            and seen
            and sum(not o.success for o in outcomes if o.task == outcome.task) <= most
        ):
            title = f"{outcome.task}, seed {outcome.seed}: {outcome.instruction}"
            write_strip(strips / f"{outcome.task}_{outcome.seed}.png", seen, title)
    return in_order(outcomes, trials)


def in_order(outcomes: Sequence[Outcome], trials: Sequence[Trial]) -> list[Outcome]:
    """The outcomes, in the order of their trials."""
    order = {(trial.task, trial.seed): number for number, trial in enumerate(trials)}
    return sorted(outcomes, key=lambda outcome: order[outcome.task, outcome.seed])


def summarize(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """By task, and "all" if there are several: trials, successes, rate and its interval.

    Sums of the chunks.

    Medians: seconds to success, and of all episodes what a chunk took, the miss in m, arc, jerk and
    real_time.
    """
    names = list(dict.fromkeys(outcome.task for outcome in outcomes))
    parts = {name: [outcome for outcome in outcomes if outcome.task == name] for name in names}
    return {
        name: _summary(rows)
        for name, rows in ({**parts, "all": outcomes} if len(names) > 1 else parts).items()
    }


def _summary(rows: Sequence[Outcome]) -> dict[str, Any]:
    solved = [outcome.seconds for outcome in rows if outcome.success]
    low, high = wilson(len(solved), len(rows))
    row: dict[str, Any] = {
        "trials": len(rows),
        "successes": len(solved),
        "rate": len(solved) / len(rows),
    }
    row |= {"low": low, "high": high, "seconds": _median(solved)}
    row |= {
        name: sum(getattr(outcome, name) for outcome in rows)
        for name in ("chunks", "rejected", "limited")
    }
    medians = ("chunk_seconds", "miss", "arc", "jerk", "real_time")
    return row | {name: _median([getattr(outcome, name) for outcome in rows]) for name in medians}


def _median(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return statistics.median(known) if known else None


def table(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """What `summarize` says as text, one line per task."""
    lines = [f"{'task':14}{'solved':>9}  95 % interval   s to success  ms per chunk"]
    for task, row in summary.items():
        solved = f"{row['successes']}/{row['trials']}"
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        interval = f"{row['low']:.0%} to {row['high']:.0%}"
        took = "-" if row["chunk_seconds"] is None else f"{1000 * row['chunk_seconds']:.0f}"
        lines.append(f"{task:14}{solved:>9}  {interval:15} {seconds:>12} {took:>13}")
    return "\n".join(lines)
