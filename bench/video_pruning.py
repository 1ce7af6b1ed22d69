# SPDX-License-Identifier: Apache-2.0
"""What efficient video sampling costs the embedded checkpoint in right answers.

The questions of training/vqa about the end of an attempt, once about its pictures, as they are
taught, and then about a video of each view of the last seconds, of which ever more tokens are left
out.

python bench/video_pruning.py [--seeds 900 908] [--frames 6] [--workers 2] [--out FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report
from task_judgement import TASKS, reasoner_of

from cosmos3_ros.model.interface import Clip
from cosmos3_ros.training.data.demonstrations import Demonstration
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.evaluation.statistics import wilson
from cosmos3_ros.training.vqa.endings import HOWS, Attempt, Ending, attempt
from cosmos3_ros.training.vqa.questions import ALL_VIEWS, STATE, is_right, lessons

RATE = 2.0  # pictures of a view a second
PICTURES = "pictures"  # of the end, instead of videos
PRUNED = (0.0, 0.25, 0.5, 0.75, 0.9)
Row = dict[str, Any]


def answered(wanted: Attempt) -> list[Row]:
    """The rows of one attempt: every question in every manner."""
    ending, reasoner = attempt(wanted), reasoner_of("")
    random = np.random.default_rng([wanted.demonstration.seed, 6])
    asked = [
        lesson
        for lesson in lessons(ending.facts, random, each=1)
        if lesson.kind in STATE and lesson.views == ALL_VIEWS
    ]
    rows = []
    for manner in (PICTURES, *PRUNED):
        shown = [*ending.frames[-1]] if manner == PICTURES else clips(ending)
        reasoner.video_pruning_rate = 0.0 if manner == PICTURES else manner
        for lesson in asked:
            began = time.perf_counter()
            tokens = len(reasoner.prompt(lesson.question, shown).ids)
            said = reasoner.ask(lesson.question, shown, 32).text
            rows.append(
                {
                    "manner": str(manner),
                    "kind": lesson.kind,
                    "right": is_right(lesson, said),
                    "tokens": tokens,
                    "seconds": time.perf_counter() - began,
                }
            )
    return rows


def clips(ending: Ending) -> list[Clip]:
    """A video of each view."""
    indices = np.arange(len(ending.frames))
    return [Clip([*frames], indices, RATE) for frames in ending.frames.swapaxes(0, 1)]


def summary(rows: Sequence[Row]) -> Row:
    right = sum(row["right"] for row in rows)
    low, high = wilson(right, len(rows))
    return {
        "asked": len(rows),
        "right": right,
        "rate": round(right / len(rows), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "tokens": round(statistics.fmean(row["tokens"] for row in rows), 1),
        "ms": round(1000 * statistics.median(row["seconds"] for row in rows), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs=2, default=(900, 908))
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    jobs = [
        Attempt(Demonstration(task, seed, scatter=0.3), HOWS[seed % len(HOWS)], chosen.frames, RATE)
        for seed in range(*chosen.seeds)
        for task in TASKS
    ]
    rows: list[Row] = []
    for number, some in enumerate(in_parallel(answered, jobs, chosen.workers), 1):
        rows += some
        print(f"{number}/{len(jobs)}", file=sys.stderr, flush=True)
    manners = [str(manner) for manner in (PICTURES, *PRUNED)]
    kinds = sorted({row["kind"] for row in rows})
    report(
        f"python bench/video_pruning.py --seeds {chosen.seeds[0]} {chosen.seeds[1]} "
        f"--frames {chosen.frames}",
        ("torch", "mujoco", "numpy"),
        chosen.out,
        manners={m: summary([row for row in rows if row["manner"] == m]) for m in manners},
        kinds={
            kind: {
                m: summary([r for r in rows if r["manner"] == m and r["kind"] == kind])["rate"]
                for m in manners
            }
            for kind in kinds
        },
    )


if __name__ == "__main__":
    main()
