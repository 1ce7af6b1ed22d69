# SPDX-License-Identifier: Apache-2.0
"""Closed loop through the real ROS nodes at real time, as `cosmos3 demo` without its film."""

from __future__ import annotations

import contextlib
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...model.embodiment import find_embodiment
from ...sim.tasks import robot_of
from .closed_loop import Outcome, Played, Trial, in_order

if TYPE_CHECKING:
    from ...apps.episode_report import Episode
    from ...apps.episode_runner import EpisodeRunner
    from ...bringup.node_graph import Options, Process

START = 120.0  # s that the nodes may take


def through_nodes(trials: Sequence[Trial], played: Played | None = None) -> list[Outcome]:
    """One after the other; what a chunk took is from capture to receipt.

    played: as of `evaluate`. Raises ValueError unless the nodes can do it.

    The nodes have the robot file's settings but for `runtime` and `graph`, so latency and options
    of the trials do not count, and wordings and distractors are the usual ones.
    """
    first = trials[0]
    if (first.wording, first.distractors) != (0, 2):
        raise ValueError(
            f"through nodes: expected wording 0, 2 distractors, got {first.wording}, "
            f"{first.distractors}"
        )
    if len({robot_of(trial.task) for trial in trials}) > 1:
        raise ValueError("through nodes: expected tasks of one robot, one arm or two")
    played = played or Played()
    outcomes, left = played.split(trials)
    if not left:
        return outcomes
    from ...bringup.node_graph import Options, processes

    options = Options(
        checkpoint=first.checkpoint,
        device=first.device,
        reasoner=False,
        task=first.task,
        robot=robot_of(first.task),
        log_level="warn",
        **dict(first.runtime),
        **dict(first.graph),
    )
    views = find_embodiment(options.robot).views
    with running_episodes(processes(options), options, views) as (runner, alive):
        for trial in left:
            outcomes.append(_outcome(runner.episode(trial.task, trial.seed, trial.limit, alive)))
            played.keep(outcomes[-1])
    return in_order(outcomes, trials)


@contextlib.contextmanager
def running_episodes(
    graph: Sequence[Process], options: Options, views: Sequence[str]
) -> Iterator[tuple[EpisodeRunner, Callable[[], None]]]:
    """A running graph that is ready for episodes, and what raises once one of its nodes has ended.

    options: those of the graph; views: of its cameras.
    """
    from ...apps.demo import check, is_ready, watching_alone
    from ...apps.episode_runner import EpisodeRunner
    from ...apps.topic_recorder import wait_until
    from ...bringup.process_runner import RunningGraph

    with (
        tempfile.TemporaryDirectory() as folder,
        watching_alone(options, views, futures=False) as recorder,
        (Path(folder) / "nodes.log").open("w", encoding="utf-8") as log,
        RunningGraph(graph, log) as running,
    ):

        def alive() -> None:
            check(running, Path(folder))

        wait_until(lambda: is_ready(recorder), START, "the nodes' start", alive)
        yield EpisodeRunner(recorder), alive


def _outcome(episode: Episode) -> Outcome:
    return Outcome(
        task=episode.task,
        seed=episode.seed,
        instruction=episode.instruction,
        success=episode.success,
        seconds=episode.seconds,
        chunk_seconds=statistics.median(episode.latencies or [math.nan]),
        miss=math.nan,
        rejected=episode.rejected,
        limited=episode.limited,
        chunks=episode.chunks,
        arc=math.nan,
        jerk=math.nan,
        real_time=episode.real_time_factor,
    )
