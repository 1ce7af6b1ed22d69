# SPDX-License-Identifier: Apache-2.0
"""All that a checkpoint is measured by, in one json; `page` makes it readable."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import math
import os
import platform
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .collect import Demonstration, in_parallel
from .evaluate import Outcome, Trial, evaluate, summarise, table
from .future import ActionErrors, Findings, Sight, run_sight
from .likeness import averages
from .nodes import through_nodes
from .page import CLOSED, RANDOM, ROS, UNHEARD, write_page
from .pictures import write_future

PROCESS, NODES = "process", "nodes"
FEW = 20  # seeds of each task for what needs no narrow interval
Tell = Callable[[str], None]


def report(
    trials: Sequence[Trial], through: Sequence[str], workers: int = 0, out: Path | None = None, page: Path | None = None
) -> str:
    """Examine, write the json `out` and the page, with their pictures in a folder of that name; the tables as text."""
    out = out or (page and page.with_suffix(".json"))
    pictures = out and out.with_suffix("")
    content = examine(trials, through, page is not None, workers, pictures)
    if out:
        write_json(out, content)
    if page and pictures:
        write_page(page, content, pictures)
    return "\n".join(f"{name}\n{table(run['summary'])}" for name, run in content["runs"].items())


def examine(
    trials: Sequence[Trial],
    through: Sequence[str] = (PROCESS,),
    whole: bool = False,
    workers: int = 0,
    pictures: Path | None = None,
    tell: Tell = print,
) -> dict[str, Any]:
    """Run what is asked for; everything about it, as json has it.

    trials: all alike but for task and seed; through: PROCESS, NODES or both; whole: the controls (another wording,
    random weights) and the futures too; pictures: folder for strips of failures and futures. Raises ValueError if the
    nodes cannot be asked for that.
    """
    if not through or set(through) - {PROCESS, NODES}:
        raise ValueError(f"through: expected {PROCESS}, {NODES} or both with a comma, got {','.join(through)!r}")
    first = trials[0]
    began, runs = datetime.datetime.now(datetime.UTC), {}
    if NODES in through:
        runs[ROS] = through_nodes(trials)
    if PROCESS in through:
        runs[CLOSED] = evaluate(trials, workers, _named(CLOSED, tell), pictures and pictures / "failures")
    futures: dict[str, Any] = {}
    if whole:
        unheard = [dataclasses.replace(trial, wording=-1) for trial in trials]
        runs[UNHEARD] = evaluate(unheard, workers, _named(UNHEARD, tell))
        runs[RANDOM] = _random_weights(_few(trials), workers, _named(RANDOM, tell))
        futures = _futures(_few(trials), workers, pictures, tell)
    settings = dataclasses.asdict(first) | {"task": None, "seed": None}
    return plain(
        {
            "about": about(first.checkpoint, began),
            "settings": settings,
            "seeds": [first.seed, max(trial.seed for trial in trials)],
            "runs": {name: _run(runs[name]) for name in (CLOSED, ROS, UNHEARD, RANDOM) if name in runs},
            **futures,
        }
    )


def _named(name: str, tell: Tell) -> Tell:
    return lambda text: tell(f"{name} {text}")


def _few(trials: Sequence[Trial]) -> list[Trial]:
    first = min(trial.seed for trial in trials)
    return [trial for trial in trials if trial.seed < first + FEW]


def _run(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"summary": summarise(outcomes), "episodes": [dataclasses.asdict(outcome) for outcome in outcomes]}


def _random_weights(trials: Sequence[Trial], workers: int, tell: Tell) -> list[Outcome]:
    """The same network as it is before it has learned anything."""
    from ..model.config import config_from_json
    from ..model.tiny import write_tiny

    checkpoint = Path(trials[0].checkpoint)
    config = config_from_json(json.loads((checkpoint / "transformer" / "config.json").read_text(encoding="utf-8")))
    body = json.loads((checkpoint / "checkpoint.json").read_text(encoding="utf-8"))["policy"]["embodiment"]
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(folder, config=config, embodiment=body)
        return evaluate([dataclasses.replace(trial, checkpoint=folder) for trial in trials], workers, tell)


def _futures(trials: Sequence[Trial], workers: int, pictures: Path | None, tell: Tell) -> dict[str, Any]:
    """The averages of all Findings, and a picture of one chunk of each task."""
    sights = [
        Sight(trial.checkpoint, Demonstration(trial.task, trial.seed, trial.distractors), trial.options)
        for trial in trials
    ]
    found: list[Findings] = []
    for number, findings in enumerate(in_parallel(run_sight, sights, workers), 1):
        tell(f"{number}/{len(sights)}  {findings.task} {findings.seed}: looked ahead")
        found.append(findings)
        if pictures and findings.seed == trials[0].seed:
            write_future(pictures / f"future_{findings.task}.png", findings.pictures, findings.fps)
    parts = ("own", "forward", "autoencoder")
    futures = {part: averages(one for findings in found for one in getattr(findings, part)) for part in parts}
    return {"futures": futures, "inverse": _inverse([one for findings in found for one in findings.inverse])}


def _inverse(errors: Sequence[ActionErrors]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(ActionErrors)]
    means = {name: statistics.fmean(getattr(one, name) for one in errors) if errors else None for name in names}
    return {"windows": len(errors), **means}


def about(checkpoint: str, began: datetime.datetime) -> dict[str, Any]:
    """With what, on what and when, for whoever wants to do it again."""
    versions = {"python": platform.python_version()}
    for name in ("torch", "mujoco", "numpy", "diffusers", "transformers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    policy = json.loads((Path(checkpoint) / "checkpoint.json").read_text(encoding="utf-8"))["policy"]
    return {
        "command": shlex.join(["cosmos3", *sys.argv[1:]]),
        "date": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.UTC) - began).total_seconds()),
        "device": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "versions": versions,
        "weights": _digest(Path(checkpoint)),
        "chunk": policy["action_chunk_size"] / policy["conditioning_fps"],
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _digest(checkpoint: Path) -> str:
    """The beginning of a checksum over all weights."""
    total = hashlib.sha256()
    for file in sorted(checkpoint.rglob("*.safetensors")):
        total.update(file.read_bytes())
    return total.hexdigest()[:12]


def plain(value: Any) -> Any:
    """For json: what is not finite becomes None."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write it, with its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
