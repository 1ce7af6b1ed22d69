# SPDX-License-Identifier: Apache-2.0
"""The same episodes through the real ROS nodes, at real time, as `cosmos3 demo` runs them."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .evaluate import Outcome, Trial


def through_nodes(trials: Sequence[Trial]) -> list[Outcome]:
    """One after the other; what a chunk took is from capture to receipt. Raises ValueError unless the nodes can do it.

    The nodes have the robot file's settings, so latency and options of the trials do not count, and wordings and
    distractors are the usual ones.
    """
    first, seeds = trials[0], sorted({trial.seed for trial in trials})
    if (first.wording, first.distractors) != (0, 2):
        raise ValueError(f"through nodes: expected wording 0, 2 distractors, got {first.wording}, {first.distractors}")
    from ..demo import demo
    from ..graph import Options

    tasks = list(dict.fromkeys(trial.task for trial in trials))
    options = Options(checkpoint=first.checkpoint, device="cpu", reasoner=False, seed=seeds[0], log_level="warn")
    with tempfile.TemporaryDirectory() as folder:
        demo(options, ",".join(tasks), len(seeds), first.limit, Path(folder))
        episodes = json.loads((Path(folder) / "summary.json").read_text(encoding="utf-8"))["episodes"]
    return sorted(map(_outcome, episodes), key=lambda outcome: tasks.index(outcome.task))


def _outcome(episode: dict[str, Any]) -> Outcome:
    return Outcome(
        task=episode["task"],
        seed=episode["seed"],
        instruction=episode["instruction"],
        success=episode["success"],
        seconds=episode["seconds"],
        chunk_seconds=statistics.median(episode["latencies"]) if episode["latencies"] else math.nan,
        miss=math.nan,
        rejected=episode["rejected"],
        limited=episode["limited"],
        chunks=episode["chunks"],
        arc=math.nan,
        jerk=math.nan,
    )
