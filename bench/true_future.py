# SPDX-License-Identifier: Apache-2.0
"""Does imagination help: a policy with future tokens, without, and with the true future given.

The three are trainings by objective_ablation.py on the same windows:

python bench/objective_ablation.py --recipe training/recipes/ten_tasks.yaml --out out/future \
    --devices cuda:0 --encoder cuda:1 --arm "with objective.no_future=0" \
    --arm "without objective.no_future=1" \
    --arm "given objective.no_future=0 objective.modes=[0,0,1]" objective.row_levels=0 \
    data.workers=27 policy.seconds=560 policy.batch=256 decoder=null
python bench/true_future.py out/future [--episodes 56] [--given 20] [--windows 4] [--out FILE]

They play the hard tasks on the same seeds. What `given` sees is the true future: at every chunk the
expert takes over in a copy of the simulation and is watched for as long as the chunk lasts; the
policy says which commands lead there (inverse dynamics). That is an upper bound: nobody has that
video on a robot. Beside it, how far each one's chunks are from the expert's rows on demonstrations
that none has learned, where `given` sees the demonstration's own frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Prediction
from cosmos3_ros.sim.env import Env, shared_env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.tasks import SUITES
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.evaluation.closed_loop import (
    Outcome,
    Trial,
    load_once,
    play,
    summarize,
)
from cosmos3_ros.training.evaluation.comparison import compare, compared_table
from cosmos3_ros.training.evaluation.world_model import inverse_dynamics, windows

WITH, WITHOUT, GIVEN = ARMS = ("with", "without", "given")
LEARNED = ("reach", "lift", "push", "bowl", "drawer", "stack", "close_drawer", "catch")
HELD = 30_000_000  # first seed of the demonstrations that are compared


class Foreseeing:
    """A policy whose chunk is read out of the true future, as the expert would make it."""

    def __init__(self, dynamics: Dynamics, live: Env, ahead: Env) -> None:
        self.embodiment, self._dynamics = dynamics.embodiment, dynamics
        self._live, self._ahead = live, ahead

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        assert committed is None  # `play` has none
        began, compose = time.monotonic(), self.embodiment.compose
        self._ahead.go_on_from(self._live.simulation)
        expert = Expert(self._ahead.simulation, moving=True)
        frames = [compose(observation.images)]
        for _ in range(self.embodiment.horizon):
            frames.append(compose(self._ahead.step(expert.act()).images))
        chunk = self._dynamics.infer_actions(np.stack(frames), observation)
        return Prediction(chunk, {"all": time.monotonic() - began})

    def decode(self, prediction: Prediction) -> Future:
        raise NotImplementedError("its future is the simulation's")

    def reset(self) -> None:
        self._dynamics.policy.reset()


@functools.cache
def env_ahead(task: str) -> Env:
    """This process's second environment for a task."""
    return Env()


def run(job: tuple[str, Trial]) -> tuple[str, Outcome]:
    """One episode of one arm."""
    name, trial = job
    policy: Any = load_once(trial.checkpoint, trial.options)
    env = shared_env(trial.task, distractors=trial.distractors)
    if name == GIVEN:
        policy = Foreseeing(Dynamics(policy), env, env_ahead(trial.task))
    return name, play(policy, env, trial)


def chunk_errors(job: tuple[str, Trial]) -> tuple[str, np.ndarray]:
    """Absolute errors of an arm's chunks in one demonstration, mrad [windows, rows, joints]."""
    name, trial = job
    policy: Any = load_once(trial.checkpoint, trial.options)
    arm = np.array([not column.gripper for column in policy.embodiment.action])
    episode = record(Demonstration(trial.task, trial.seed, noise=0.0, astray=0.0))
    found = []
    for window in windows(policy, episode) if episode else ():
        policy.reset()
        if name == GIVEN:
            values = inverse_dynamics(policy, window)
        else:
            values = policy.infer(window.observation).chunk.values
        found.append(1000 * np.abs(values - window.rows)[:, arm])
    return name, np.stack(found) if found else np.zeros((0, 1, int(arm.sum())))


def by_arm(
    function: Callable[[Any], tuple[str, Any]],
    jobs: Sequence[tuple[str, Trial]],
    workers: int,
    said: Callable[[Any], str],
) -> dict[str, list[Any]]:
    """The results of each arm; each is told as it comes, by `said`."""
    found: dict[str, list[Any]] = {name: [] for name in ARMS}
    for number, (name, result) in enumerate(in_parallel(function, jobs, workers), 1):
        found[name].append(result)
        print(f"{number}/{len(jobs)} {name} {said(result)}", flush=True)
    return found


def outcome_text(one: Outcome) -> str:
    return f"{one.task} {one.seed} {'solved' if one.success else 'failed'} {one.seconds:.1f} s"


def error_text(errors: np.ndarray) -> str:
    return f"{np.median(errors) if errors.size else np.nan:.2f} mrad"


def paired(outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """The arms beside `with`, on the seeds that both have played."""
    played = {name: [dataclasses.asdict(one) for one in found] for name, found in outcomes.items()}
    few = {(one["task"], one["seed"]) for one in played[GIVEN]}
    short = [one for one in played[WITH] if (one["task"], one["seed"]) in few]
    pairs = {
        "without beside with": compare(played[WITH], played[WITHOUT]),
        "given beside with": compare(short, played[GIVEN]),
    }
    for title, table in pairs.items():
        print(f"{title}\n{compared_table(table)}", flush=True)
    return pairs


def quantiles(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """Of the errors of all chunks, rows and joints."""
    errors = np.concatenate([part.ravel() for part in parts])
    return {
        "median": round(float(np.median(errors)), 2),
        "rms": round(float(np.sqrt(np.mean(np.square(errors)))), 2),
        "chunks": sum(len(part) for part in parts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trainings", type=Path, help="OUT of objective_ablation.py")
    parser.add_argument("--tasks", default=",".join(SUITES["hard"]))
    parser.add_argument("--episodes", type=int, default=56, help="of each task")
    parser.add_argument("--given", type=int, default=20, help="of each task with the true future")
    parser.add_argument("--windows", type=int, default=4, help="demonstrations of each task")
    parser.add_argument("--limit", type=float, default=20.0, help="s of an episode")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    options = {"num_steps": 4, "guidance": 1.0, "future_steps": 1}
    sampled = {name: tuple(options.items()) for name in ARMS}
    sampled[WITHOUT] += (("future_tokens", False),)

    def trials(name: str, tasks: Sequence[str], seeds: range) -> list[tuple[str, Trial]]:
        folder = str(chosen.trainings / name / "checkpoint")
        kept = {"limit": chosen.limit, "options": sampled[name]}
        return [(name, Trial(folder, task, seed, **kept)) for task in tasks for seed in seeds]

    tasks = chosen.tasks.split(",")
    jobs = [
        job
        for name in (GIVEN, WITH, WITHOUT)
        for job in trials(name, tasks, range(chosen.given if name == GIVEN else chosen.episodes))
    ]
    outcomes: dict[str, list[Outcome]] = by_arm(run, jobs, chosen.workers, outcome_text)
    held = range(HELD, HELD + chosen.windows)
    seen = [job for name in ARMS for job in trials(name, LEARNED, held)]
    errors = by_arm(chunk_errors, seen, chosen.workers, error_text)
    report(
        "python bench/true_future.py TRAININGS "
        f"--episodes {chosen.episodes} --given {chosen.given} --windows {chosen.windows}",
        ("torch", "mujoco", "numpy"),
        chosen.out,
        options=options,
        solved={
            name: {task: [row["successes"], row["trials"]] for task, row in rows.items()}
            for name, rows in ((name, summarize(found)) for name, found in outcomes.items())
        },
        paired=paired(outcomes),
        chunk_error_mrad={name: quantiles(parts) for name, parts in errors.items()},
    )


if __name__ == "__main__":
    main()
