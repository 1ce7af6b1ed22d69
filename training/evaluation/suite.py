# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a checkpoint, in one json; `report_page` makes it readable."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import json
import math
import os
import platform
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..data.demonstrations import Demonstration
from ..data.parallel import in_parallel
from ..vqa.scene_state import ASKED
from .closed_loop import Outcome, Played, Trial, evaluate, summarize, table
from .closed_loop_ros import through_nodes
from .comparison import Setting, compare, compared_table
from .image_metrics import averages
from .plots import write_future
from .reasoner_accuracy import quiz_table, reasoner_accuracy
from .report_page import CLOSED, COMPARED, FUTURES, RANDOM, REASONER, ROS, UNHEARD, write_page
from .results_file import Results, results
from .world_model import ActionErrors, Findings, WorldModelTrial, run_world_model_trial

PROCESS, NODES = "process", "nodes"
FEW = 20  # seeds of each task for what needs no narrow interval
Tell = Callable[[str], None]
Measure = Callable[[Played], dict[str, Any]]  # of a part, from what was played of it before


def report(
    trials: Sequence[Trial],
    through: Sequence[str] = (PROCESS,),
    workers: int = 0,
    out: Path | None = None,
    page: Path | None = None,
    tell: Tell = print,
    settings: Sequence[Setting] = (),
) -> str:
    """Measure, write the results to the json `out` and the page, and return the tables as text.

    trials: all alike but for task and seed; through: PROCESS, NODES or both; settings: other ways
    to sample, each measured in process on the same trials and compared. For a page also the
    controls (another wording, random weights), the futures and the reasoner; then all but the first
    and the wording have FEW seeds. Pictures go into a folder named as the json. What the json has
    already, of the same weights and trials, is not measured again, and every episode is kept
    when it has ended, see `Results`: a run that was stopped goes on, also on another machine.
    Raises ValueError if the json holds something else, or if the nodes cannot be asked for that.
    """
    if not through or set(through) - {PROCESS, NODES}:
        raise ValueError(
            f"through: expected {PROCESS}, {NODES} or both with a comma, got {','.join(through)!r}"
        )
    if settings and PROCESS not in through:
        raise ValueError(f"compare: expected {PROCESS} among through, got {','.join(through)}")
    out = out or (page and page.with_suffix(".json"))
    with results(out, _what(trials), "parts", _episodes) as kept:
        content, pictures = kept.content, out and out.with_suffix("")
        parts = _parts(trials, through, page is not None, workers, pictures, tell, settings)
        _measure(parts, kept, trials[0], tell)
        if settings:
            content["compared"] = plain(_compared(content["parts"], settings))
        if page and pictures:
            write_page(page, {**content, "parts": _finished(content)}, pictures)
    return _tables(content)


class _Kept(Played):
    """The episodes of a part that has begun: in the results, until it is measured."""

    def __init__(self, kept: Results, name: str) -> None:
        parts = kept.content["parts"]
        super().__init__([_outcome(row) for row in parts.get(name, {}).get("episodes", ())])
        self._kept, self._name = kept, name

    def keep(self, outcome: Outcome) -> None:
        """Add it to the results."""
        self._kept.keep(self._name, plain(dataclasses.asdict(outcome)))


def _episodes(content: dict[str, Any], name: str) -> list[Any]:
    rows: list[Any] = content["parts"].setdefault(name, {"episodes": []})["episodes"]
    return rows


def _outcome(row: Mapping[str, Any]) -> Outcome:
    """As it stands in the json, where None is a number that is not finite."""
    fields: dict[str, Any] = {
        name: math.nan if value is None else value for name, value in row.items()
    }
    return Outcome(**fields)


def _finished(content: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that are measured: of the others there are only episodes."""
    return {name: part for name, part in content["parts"].items() if "about" in part}


def _measure(parts: Mapping[str, Measure], kept: Results, first: Trial, tell: Tell) -> None:
    """The parts that are not there yet: each is written, and its episodes are kept before."""
    content = kept.content
    for name, measure in parts.items():
        if name in _finished(content):
            tell(f"{name}: has been measured before")
            continue
        began = datetime.datetime.now(datetime.UTC)
        found = measure(_Kept(kept, name))
        content["parts"][name] = plain({**found, "about": about(began, first)})
        kept.write()


def _tables(content: Mapping[str, Any]) -> str:
    tables = [
        f"{name}\n{table(part['summary'])}"
        for name, part in _finished(content).items()
        if "summary" in part
    ]
    tables += [
        quiz_table(part["grades"]) for name, part in _finished(content).items() if name == REASONER
    ]
    tables += [
        f"{COMPARED}: {name}\n{compared_table(rows)}"
        for name, rows in content.get("compared", {}).items()
    ]
    return "\n".join(tables)


def _compared(
    parts: Mapping[str, Any], settings: Sequence[Setting]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Setting -> task -> how it does beside the trials' own way."""
    base = parts[CLOSED]["episodes"]
    return {one.text: compare(base, parts[one.text]["episodes"]) for one in settings}


def _what(trials: Sequence[Trial]) -> dict[str, Any]:
    """What is measured, as it stands in the json."""
    from ...model.checkpoint_io.foreign import check_layout, find_folder
    from ...model.checkpoint_io.json_file import read_json

    settings = dataclasses.asdict(trials[0])
    checkpoint = find_folder(settings.pop("checkpoint"))
    check_layout(checkpoint)
    del settings["device"], settings["dtype"]  # what is measured depends on neither
    for name in ("runtime", "graph"):
        if not settings[name]:  # as in what was measured before there were these
            del settings[name]
    policy = read_json(checkpoint / "checkpoint.json")["policy"]
    what = {
        "weights": weights_digest(checkpoint),
        "chunk": policy["action_chunk_size"] / policy["conditioning_fps"],
        "tasks": list(dict.fromkeys(trial.task for trial in trials)),
        "seeds": [min(trial.seed for trial in trials), max(trial.seed for trial in trials)],
        "settings": {
            name: value for name, value in settings.items() if name not in ("task", "seed")
        },
    }
    found: dict[str, Any] = json.loads(json.dumps(plain(what)))
    return found


def _parts(
    trials: Sequence[Trial],
    through: Sequence[str],
    whole: bool,
    workers: int,
    pictures: Path | None,
    tell: Tell,
    settings: Sequence[Setting],
) -> dict[str, Measure]:
    """What is to be measured, by name."""

    def closed(
        name: str, some: Sequence[Trial], played: Played, strips: Path | None = None
    ) -> dict[str, Any]:
        said = lambda text: tell(f"{name} {text}")  # noqa: E731
        return _run(evaluate(some, workers, said, strips, played=played))

    parts: dict[str, Measure] = {}
    if PROCESS in through:
        failures = pictures and pictures / "failures"
        parts[CLOSED] = lambda played: closed(CLOSED, trials, played, failures)
    for setting in settings:
        parts[setting.text] = functools.partial(closed, setting.text, setting.of(trials))
    if NODES in through:
        parts[ROS] = lambda played: _run(through_nodes(_few(trials) if whole else trials, played))
    if whole:
        unheard = [dataclasses.replace(trial, wording=-1) for trial in trials]
        parts[UNHEARD] = functools.partial(closed, UNHEARD, unheard)
        parts[RANDOM] = lambda played: _with_random_weights(
            _few(trials), lambda some: closed(RANDOM, some, played)
        )
        parts[FUTURES] = lambda _: _futures(_few(trials), workers, pictures, tell)
        if asked := [trial for trial in _few(trials) if trial.task in ASKED]:
            parts[REASONER] = lambda _: {"grades": _reasoner(asked, workers, tell)}
    return parts


def _few(trials: Sequence[Trial]) -> list[Trial]:
    first = min(trial.seed for trial in trials)
    return [trial for trial in trials if trial.seed < first + FEW]


def _run(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "summary": summarize(outcomes),
        "episodes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


def _with_random_weights(
    trials: Sequence[Trial], closed: Callable[[Sequence[Trial]], dict[str, Any]]
) -> dict[str, Any]:
    """The same network as it is before it has learned anything."""
    from ...model.checkpoint_io.foreign import checkpoint_path
    from ...model.checkpoint_io.json_file import read_json
    from ...model.checkpoint_io.own_embodiment import choose_embodiment
    from ...model.checkpoint_io.tiny import write_tiny
    from ...model.network.config import config_from_json

    checkpoint = checkpoint_path(trials[0].checkpoint)
    config = config_from_json(read_json(checkpoint / "transformer" / "config.json"))
    embodiment = choose_embodiment(
        checkpoint, read_json(checkpoint / "checkpoint.json")["policy"], None
    )
    with tempfile.TemporaryDirectory() as folder:
        write_tiny(folder, config=config, embodiment=embodiment)
        return closed([dataclasses.replace(trial, checkpoint=folder) for trial in trials])


def _reasoner(trials: Sequence[Trial], workers: int, tell: Tell) -> dict[str, Any]:
    tasks, seeds = (
        list(dict.fromkeys(values))
        for values in zip(*((t.task, t.seed) for t in trials), strict=True)
    )
    return reasoner_accuracy(
        trials[0].checkpoint, seeds, tasks, 2, workers, lambda text: tell(f"{REASONER} {text}")
    )


def _futures(
    trials: Sequence[Trial], workers: int, pictures: Path | None, tell: Tell
) -> dict[str, Any]:
    """The averages of all Findings, and a picture of one chunk of each task."""
    sights = [
        WorldModelTrial(
            trial.checkpoint,
            Demonstration(trial.task, trial.seed, trial.distractors),
            trial.options,
            trial.device,
            trial.dtype,
            trial.runtime,
        )
        for trial in trials
    ]
    found: list[Findings] = []
    for number, findings in enumerate(in_parallel(run_world_model_trial, sights, workers), 1):
        tell(f"{number}/{len(sights)}  {findings.task} {findings.seed}: looked ahead")
        found.append(findings)
        if pictures and findings.seed == trials[0].seed:
            write_future(pictures / f"future_{findings.task}.png", findings.pictures, findings.fps)
    parts = ("own", "forward", "autoencoder")
    ahead = {
        part: averages(one for findings in found for one in getattr(findings, part))
        for part in parts
    }
    return {
        "ahead": ahead,
        "inverse": _inverse([one for findings in found for one in findings.inverse]),
    }


def _inverse(errors: Sequence[ActionErrors]) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(ActionErrors)]
    means = {
        name: statistics.fmean(getattr(one, name) for one in errors) if errors else None
        for name in names
    }
    return {"windows": len(errors), **means}


def about(began: datetime.datetime, trial: Trial | None = None) -> dict[str, Any]:
    """With what, on what and when, for whoever wants to do it again."""
    on = f", policy on {trial.device} in {trial.dtype}" if trial and trial.device != "cpu" else ""
    for name, value in (*trial.runtime, *trial.graph) if trial else ():
        on += f", {name} {value}"
    versions = {"python": platform.python_version()}
    for name in ("torch", "mujoco", "numpy", "diffusers", "transformers"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "command": shlex.join(["cosmos3", *sys.argv[1:]]),
        "date": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.datetime.now(datetime.UTC) - began).total_seconds()),
        "device": f"{_processor()}, {len(os.sched_getaffinity(0))} cores{on}",
        "versions": versions,
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def weights_digest(checkpoint: Path) -> str:
    """The beginning of a checksum over all weights; what surprise is judged by is none."""
    from ...model.surprise.reference_file import FILE

    total = hashlib.sha256()
    for file in sorted(checkpoint.rglob("*.safetensors")):
        if file.name != FILE:
            total.update(file.read_bytes())
    return total.hexdigest()[:12]


def plain(value: Any) -> Any:
    """For json: what is not finite becomes None."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
