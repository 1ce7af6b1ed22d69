# SPDX-License-Identifier: Apache-2.0
"""The examination of an expert or a checkpoint by a world's protocol: tasks x seeds, one json."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...model.checkpoint_io.foreign import check_layout, find_folder
from ..data.parallel import in_parallel
from ..evaluation.closed_loop import load_once
from ..evaluation.results_file import Results, results
from ..evaluation.statistics import wilson
from ..evaluation.suite import NODES, PROCESS, about, plain, weights_digest
from .catalog import open_world
from .rollout import EpisodeResult, play_expert, play_policy
from .world import World

EXPERT = "expert"
Settings = tuple[tuple[str, Any], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """Who is examined, and how it is run."""

    name: str  # EXPERT or a checkpoint
    rows: int = 0  # of a chunk that are played before the policy is asked again, 0: all
    options: Settings = ()  # of PolicyOptions
    device: str = "cpu"
    dtype: str = "float32"
    runtime: Settings = ()  # of PolicyModelParams
    through: str = PROCESS  # or NODES
    robot: str = ""  # with NODES: the robot file, "": that of the world's name


@dataclasses.dataclass(frozen=True, slots=True)
class Exam:
    """What a candidate is asked: `episodes` of each task, seeds from `seed` on."""

    env: str  # see `open_world`
    protocol: str
    tasks: tuple[str, ...]
    seed: int
    episodes: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """One episode; task by task: a process has one simulation and one renderer at a time."""

    candidate: Candidate
    exam: Exam
    task: str
    seed: int


def _perform(job: _Job) -> EpisodeResult:
    candidate, exam = job.candidate, job.exam
    world = open_world(exam.env, exam.protocol, exam.seed)
    if candidate.name == EXPERT:
        return play_expert(world, job.task, job.seed)
    policy = load_once(
        candidate.name, candidate.options, candidate.device, candidate.dtype, candidate.runtime
    )
    return play_policy(policy, world, job.task, job.seed, candidate.rows)


def _through_nodes(world: World, jobs: Sequence[_Job]) -> Iterator[EpisodeResult]:
    """As `_perform`, of all jobs on one graph of nodes."""
    from .nodes.through_nodes import play_through_nodes

    candidate = jobs[0].candidate
    settings = {
        **dict(candidate.options),
        **dict(candidate.runtime),
        "device": candidate.device,
        "dtype": candidate.dtype,
        "execution_horizon": candidate.rows or None,
    }
    policy = {name: value for name, value in plain(settings).items() if value is not None}
    episodes = [(job.task, job.seed) for job in jobs]
    return play_through_nodes(world, candidate.name, episodes, {"policy": policy}, candidate.robot)


def examine(
    candidate: Candidate,
    exam: Exam,
    world: World,
    workers: int = 0,
    out: Path | None = None,
    tell: Callable[[str], None] = print,
) -> str:
    """Play all episodes, keep each in the json `out`, and return the table.

    world: that of the exam, opened by whoever asks. Episodes that the json has already are not
    played again. Raises ValueError if the json holds something else, or somebody else writes to it;
    OSError, before anything is played, if it cannot be written.
    """
    with results(out, _what(candidate, exam, world), "tasks", _rows) as kept:
        _play(candidate, exam, world, workers, kept, tell)
        return table(kept.content["summary"])


def _rows(content: dict[str, Any], task: str) -> list[Any]:
    rows: list[Any] = content["tasks"].setdefault(task, [])
    return rows


def _play(
    candidate: Candidate,
    exam: Exam,
    world: World,
    workers: int,
    kept: Results,
    tell: Callable[[str], None],
) -> None:
    """The episodes that are not kept yet, and what all come to, however far it gets."""
    done = {(task, row["seed"]) for task, rows in kept.content["tasks"].items() for row in rows}
    seeds = range(exam.seed, exam.seed + exam.episodes)
    left = [
        _Job(candidate, exam, task, seed)
        for task, seed in itertools.product(exam.tasks, seeds)
        if (task, seed) not in done
    ]
    began = datetime.datetime.now(datetime.UTC)
    through_nodes = candidate.through == NODES and left
    played = _through_nodes(world, left) if through_nodes else in_parallel(_perform, left, workers)
    try:
        for number, result in enumerate(played, 1):
            kept.keep(result.task, plain(dataclasses.asdict(result)))
            said = "solved" if result.success else "failed"
            tell(f"{number}/{len(left)}  {result.task} {result.seed}: {said}")
    finally:
        if kept.content["tasks"]:
            _sum_up(kept.content, exam, world)
            if left or "about" not in kept.content:
                kept.content["about"] = _about(began)


def _sum_up(content: dict[str, Any], exam: Exam, world: World) -> None:
    """Episodes in the order of tasks and seeds, and their rates."""
    done = content["tasks"]
    content["tasks"] = {
        task: sorted(done[task], key=lambda row: row["seed"]) for task in exam.tasks if task in done
    }
    rows = itertools.chain.from_iterable(content["tasks"].values())
    found = [EpisodeResult(**row) for row in rows]
    content["summary"] = plain(summarize(found, world.protocol.groups))


def _about(began: datetime.datetime) -> dict[str, Any]:
    """As of every evaluation, with the versions that decide what a world is."""
    from importlib.metadata import PackageNotFoundError, version

    noted = about(began)
    for name in ("metaworld", "gymnasium"):
        try:
            noted["versions"][name] = version(name)
        except PackageNotFoundError:
            continue
    return noted


def _what(candidate: Candidate, exam: Exam, world: World) -> dict[str, Any]:
    """What is examined, as it stands in the json."""
    who = EXPERT
    if candidate.name != EXPERT:
        folder = find_folder(candidate.name)
        check_layout(folder)
        who = f"weights {weights_digest(folder)}"
    what: dict[str, Any] = {
        "who": who,
        "rows": candidate.rows,
        "options": dict(candidate.options),
        "runtime": dict(candidate.runtime),
        "env": exam.env,
        "protocol": world.protocol.name,
        "source": world.protocol.source,
        "seeds": [exam.seed, exam.seed + exam.episodes - 1],
        "tasks": list(exam.tasks),
    }
    if candidate.through != PROCESS:
        what["through"] = candidate.through
    if candidate.robot:
        what["robot"] = candidate.robot
    found: dict[str, Any] = json.loads(json.dumps(plain(what)))
    return found


def summarize(
    results: Sequence[EpisodeResult], groups: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Rates of tasks and groups with Wilson's 95 % intervals, and the two averages.

    `score`: mean of the groups' rates, groups of which nothing was played left out; `episodes`: of
    all episodes. Steps: median of the solved ones.
    """
    tasks = dict.fromkeys(result.task for result in results)
    parts = {task: [result for result in results if result.task == task] for task in tasks}
    tiers = {
        name: [result for result in results if result.task in members]
        for name, members in groups.items()
    }
    rated = {name: _rate(rows) for name, rows in tiers.items() if rows}
    return {
        "tasks": {task: _rate(rows) for task, rows in parts.items()},
        "groups": rated,
        "score": statistics.fmean(row["rate"] for row in rated.values()) if rated else None,
        "episodes": _rate(results),
    }


def _rate(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    solved = [result.steps for result in results if result.success]
    low, high = wilson(len(solved), len(results))
    spent = [result.chunk_seconds for result in results if result.chunk_seconds is not None]
    return {
        "trials": len(results),
        "successes": len(solved),
        "rate": len(solved) / len(results),
        "low": low,
        "high": high,
        "steps": statistics.median(solved) if solved else None,
        "chunk_seconds": statistics.median(spent) if spent else None,
    }


def table(summary: Mapping[str, Any]) -> str:
    """What `summarize` says as text: tasks, groups, averages."""
    rows = {**summary["tasks"], **summary["groups"], "all episodes": summary["episodes"]}
    width = max(map(len, rows)) + 2
    lines = [f"{'task':{width}}{'solved':>9}  {'rate':>6}  95 % interval     steps"]
    for name, row in rows.items():
        solved = f"{row['successes']}/{row['trials']}"
        interval = f"{row['low']:.1%} to {row['high']:.1%}"
        steps = "-" if row["steps"] is None else f"{row['steps']:.0f}"
        lines.append(f"{name:{width}}{solved:>9}  {row['rate']:>6.1%}  {interval:16}{steps:>7}")
    if summary["score"] is not None:
        lines.append(f"{'average of groups':{width}}{'':>9}  {summary['score']:>6.1%}")
    return "\n".join(lines)
