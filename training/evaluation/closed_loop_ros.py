# SPDX-License-Identifier: Apache-2.0
"""Closed loop through the real ROS nodes at real time, as `cosmos3 demo` without its film."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...model.embodiment import find_embodiment
from ...sim.tasks import robot_of
from .closed_loop import Outcome, Trial

if TYPE_CHECKING:
    from ...apps.demo import Episode


def through_nodes(trials: Sequence[Trial]) -> list[Outcome]:
    """One after the other; what a chunk took is from capture to receipt.

    Raises ValueError unless the nodes can do it.

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
    from ...apps.demo import Show, check, is_ready, watching
    from ...apps.topic_recorder import wait_until
    from ...bringup.node_graph import Options, processes
    from ...bringup.process_runner import RunningGraph

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
    with (
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "nodes.log").open("w", encoding="utf-8") as log,
        RunningGraph(processes(options), log) as graph,
        watching(options, find_embodiment(options.robot).views, futures=False) as recorder,
    ):

        def alive() -> None:
            check(graph, Path(folder))

        wait_until(lambda: is_ready(recorder), 120, "the nodes' start", alive)
        show = Show(recorder)
        return [
            _outcome(show.episode(trial.task, trial.seed, trial.limit, alive)) for trial in trials
        ]


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
