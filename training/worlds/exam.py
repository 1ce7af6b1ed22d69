# SPDX-License-Identifier: Apache-2.0
"""The examination of an expert or a checkpoint by a world's protocol: tasks x seeds, one json."""

from __future__ import annotations

import dataclasses
import datetime
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...model.checkpoint_io.foreign import checkpoint_path
from ..data.parallel import in_parallel
from ..evaluation.closed_loop import load_once
from ..evaluation.statistics import wilson
from ..evaluation.suite import NODES, PROCESS, about, plain, read_results, weights_digest
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
    """All episodes of one task: one simulation and one renderer at a time in each process."""

    candidate: Candidate
    exam: Exam
    task: str


def _perform(job: _Job) -> list[EpisodeResult]:
    candidate, exam = job.candidate, job.exam
    world = open_world(exam.env, exam.protocol, exam.seed)
    seeds = range(exam.seed, exam.seed + exam.episodes)
    if candidate.name == EXPERT:
        return [play_expert(world, job.task, seed) for seed in seeds]
    policy = load_once(
        candidate.name, candidate.options, candidate.device, candidate.dtype, candidate.runtime
    )
    return [play_policy(policy, world, job.task, seed, candidate.rows) for seed in seeds]


def _through_nodes(world: World, jobs: Sequence[_Job]) -> Iterator[list[EpisodeResult]]:
    """As `_perform`, of all jobs on one graph of nodes."""
    from .nodes.through_nodes import play_through_nodes

    candidate, exam = jobs[0].candidate, jobs[0].exam
    settings = {
        **dict(candidate.options),
        **dict(candidate.runtime),
        "device": candidate.device,
        "dtype": candidate.dtype,
        "execution_horizon": candidate.rows or None,
    }
    policy = {name: value for name, value in plain(settings).items() if value is not None}
    seeds = range(exam.seed, exam.seed + exam.episodes)
    tasks = [job.task for job in jobs]
    return play_through_nodes(
        world, candidate.name, tasks, seeds, {"policy": policy}, candidate.robot
    )


def examine(
    candidate: Candidate,
    exam: Exam,
    world: World,
    workers: int = 0,
    out: Path | None = None,
    tell: Callable[[str], None] = print,
) -> str:
    """Play all episodes, keep them in the json `out`, and return the table.

    world: that of the exam, opened by whoever asks. Tasks that the json has already are not played
    again. Raises ValueError if the json holds something else.
    """
    from ...model.checkpoint_io.json_file import write_json

    content = _begin(candidate, exam, world, out)
    done: dict[str, Any] = content["tasks"]
    left = [_Job(candidate, exam, task) for task in exam.tasks if task not in done]
    began = datetime.datetime.now(datetime.UTC)
    through_nodes = candidate.through == NODES and left
    played = _through_nodes(world, left) if through_nodes else in_parallel(_perform, left, workers)
    for number, results in enumerate(played, 1):
        task, solved = results[0].task, sum(result.success for result in results)
        done[task] = [dataclasses.asdict(result) for result in results]
        tell(f"{number}/{len(left)}  {task}: {solved} of {len(results)} solved")
        content["summary"] = summarize(_results(done, exam), world.protocol.groups)
        content["about"] = _about(began)
        if out:
            write_json(out, plain(content))
    return table(content["summary"])


def _results(done: Mapping[str, Sequence[Mapping[str, Any]]], exam: Exam) -> list[EpisodeResult]:
    return [EpisodeResult(**row) for task in exam.tasks if task in done for row in done[task]]


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


def _begin(candidate: Candidate, exam: Exam, world: World, out: Path | None) -> dict[str, Any]:
    """What has been measured before, if anything."""
    if out is not None and out.suffix != ".json":
        raise ValueError(f"out: expected a file named .json, got {out}")
    who = EXPERT
    if candidate.name != EXPERT:
        who = f"weights {weights_digest(checkpoint_path(candidate.name))}"
    what = {
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
    what = json.loads(json.dumps(plain(what)))
    if out is None or not out.exists():
        return {"what": what, "tasks": {}}
    content = read_results(out)
    if content.get("what") != what:
        raise ValueError(
            f"{out}: holds results of another candidate, world, protocol or other seeds; expected "
            "a new file"
        )
    return content


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
