# SPDX-License-Identifier: Apache-2.0
"""Whether the reasoner judges a task as the simulator does, over good and bad endings.

Half of the attempts are played by the expert to the end, the others stop before, just before, or
are spoiled (training/vqa/endings.py). The reasoner is asked the taught question about the pictures
of the end: of the task itself, and of the same task with another cube of the scene.

python bench/task_judgement.py [--checkpoint DIR] [--seeds 0 40] [--fit 500 530] [--workers 2]
[--out FILE]

--fit: seeds by which a temperature is fitted, which the others are measured with too.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from result_file import report

from cosmos3_ros.model.interface import Reasoner
from cosmos3_ros.model.language.yes_or_no import with_temperature
from cosmos3_ros.training.data.demonstrations import Demonstration
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.evaluation.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from cosmos3_ros.training.evaluation.statistics import wilson
from cosmos3_ros.training.vqa.endings import HOWS, Attempt, Ending, attempt
from cosmos3_ros.training.vqa.scene_state import Goal
from cosmos3_ros.training.vqa.task_steps import wordings

TASKS = ("reach", "lift", "push", "bowl", "drawer")
TAUGHT = 'The task is: "{0}". Is it done?'
Row = dict[str, Any]  # one question with its answer


def judged(job: tuple[str, Attempt]) -> list[Row]:
    """The rows of one attempt."""
    checkpoint, wanted = job
    ending = attempt(wanted)
    asked = [("own", ending.goal), *[("other", goal) for goal in others(ending)]]
    pictures = [*ending.frames[-1]]
    rows = []
    for about, goal in asked:
        answer = reasoner_of(checkpoint).ask(TAUGHT.format(wordings(goal)[0]), pictures, 4)
        rows.append(
            {
                "task": wanted.demonstration.task,
                "seed": wanted.demonstration.seed,
                "how": wanted.how,
                "about": about,
                "truth": bool(ending.facts.done[goal]),
                "said": answer.text,
                "yes": answer.yes,
            }
        )
    return rows


def others(ending: Ending) -> list[Goal]:
    """The same task with the first other cube of the scene."""
    task, color = ending.goal
    return [(task, other) for other in ending.facts.cubes if color and other != color][:1]


@functools.cache
def reasoner_of(checkpoint: str) -> Reasoner:
    import torch

    from cosmos3_ros.model.reasoner import load_reasoner
    from cosmos3_ros.model.registry import embedded_checkpoint

    torch.set_num_threads(1)
    return load_reasoner(checkpoint or embedded_checkpoint())


def attempts(seeds: Iterable[int]) -> list[Attempt]:
    """Of every seed and task one: half of them finished, the others in turn."""
    bad = HOWS[1:]
    return [
        Attempt(
            Demonstration(task, seed, scatter=0.3),
            HOWS[0] if seed % 2 else bad[(seed // 2 + number) % len(bad)],
        )
        for seed in seeds
        for number, task in enumerate(TASKS)
    ]


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Agreement with its interval, and how far the probability of yes can be believed."""
    right = sum((row["yes"] > 0.5) == row["truth"] for row in rows)
    low, high = wilson(right, len(rows))
    sure = [(row["yes"], row["truth"]) for row in rows if not math.isnan(row["yes"])]
    bins = reliability(*zip(*sure, strict=True))
    return {
        "asked": len(rows),
        "done": sum(row["truth"] for row in rows),
        "right": right,
        "rate": round(right / len(rows), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "false yes": sum(row["yes"] > 0.5 and not row["truth"] for row in rows),
        "false no": sum(not row["yes"] > 0.5 and row["truth"] for row in rows),
        "calibration error": round(expected_calibration_error(bins), 4),
    }


def own(rows: Sequence[Row]) -> list[Row]:
    """The questions about what was to be done: one an attempt."""
    return [row for row in rows if row["about"] == "own"]


def grouped(rows: Sequence[Row], by: str) -> Mapping[str, Any]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return {name: summary(some) for name, some in groups.items()}


def ask_all(checkpoint: str, seeds: Iterable[int], workers: int) -> list[Row]:
    jobs = [(checkpoint, one) for one in attempts(seeds)]
    rows: list[Row] = []
    for number, some in enumerate(in_parallel(judged, jobs, workers), 1):
        rows += some
        if number % 20 == 0:
            print(f"{number}/{len(jobs)}", file=sys.stderr, flush=True)
    return sorted(rows, key=lambda row: (row["task"], row["seed"], row["about"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 40))
    parser.add_argument("--fit", type=int, nargs=2, default=(500, 530))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=Path, help="every answer, as JSON Lines")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    fitted = ask_all(chosen.checkpoint, range(*chosen.fit), chosen.workers)
    rows = ask_all(chosen.checkpoint, range(*chosen.seeds), chosen.workers)
    if chosen.rows:
        chosen.rows.write_text("".join(json.dumps(row) + "\n" for row in [*fitted, *rows]))
    temperature = fit_temperature([row["yes"] for row in fitted], [row["truth"] for row in fitted])
    cooled = [row | {"yes": with_temperature(row["yes"], temperature)} for row in rows]
    report(
        f"python bench/task_judgement.py --seeds {chosen.seeds[0]} {chosen.seeds[1]} "
        f"--fit {chosen.fit[0]} {chosen.fit[1]}",
        ("torch", "mujoco", "numpy"),
        chosen.out,
        all=summary(rows),
        own=summary(own(rows)),
        by_task=grouped(rows, "task"),
        by_ending=grouped(own(rows), "how"),
        by_about=grouped(rows, "about"),
        fitted_on=summary(fitted),
        temperature=round(temperature, 3),
        with_temperature={"all": summary(cooled), "own": summary(own(cooled))},
        wrong=[row for row in rows if (row["yes"] > 0.5) != row["truth"]],
    )


if __name__ == "__main__":
    main()
