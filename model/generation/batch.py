# SPDX-License-Identifier: Apache-2.0
"""Requests, one or many, made one after another into a folder; what is there already stays.

A result is complete when NAME.json stands beside its files. A request that failed leaves
NAME.failed.json and is tried again by the next run. Several processes that torchrun started, each
with a GPU of its own, share the requests of one folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..acceleration.generation_memory import Need
from ..checkpoint_io.json_file import read_json
from .checkpoint_kind import CheckpointKind
from .conditioning_media import read_known
from .options import CompleteRequest, GenerateOptions, read_line
from .progress_bar import progress_bar
from .result_files import check_writable, contact_sheet, write_png, write_report, write_video
from .worker import Made, Place, Worker

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
TAKEN = (".json", ".failed", ".sheet", ".frames")  # what is written beside a result


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A request with the name of its result.

    error: why it cannot be made, if that is known; line: its name by its place in a batch.
    """

    name: str
    options: GenerateOptions | None
    error: str = ""
    line: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """A job that is still to be made, and the memory that it takes."""

    job: Job
    asked: CompleteRequest
    need: Need


@dataclasses.dataclass(slots=True)
class Tally:
    """How many requests were made, were there already, and failed."""

    made: int = 0
    kept: int = 0
    failed: int = 0

    def text(self) -> str:
        """The counts in words."""
        return f"{self.made} made, {self.kept} there already, {self.failed} failed"


def read_batch(file: Path, defaults: Mapping[str, Any]) -> list[Job]:
    """The requests of a file of JSON lines; a line that is wrong becomes a job that fails.

    defaults: of fields that lines leave out. ValueError if the file cannot be read or is empty.
    """
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{file}: expected JSON lines in UTF-8") from None
    jobs: list[Job] = []
    names: set[str] = set()
    for number, line in enumerate(lines):
        if line.strip():
            jobs.append(_job(f"{file.name}:{number + 1}", f"{number:05d}", line, defaults, names))
            names.add(jobs[-1].name)
    if not jobs:
        raise ValueError(f"{file}: expected requests, one JSON object a line, got none")
    return jobs


def _job(
    where: str, usual: str, line: str, defaults: Mapping[str, Any], taken: Collection[str]
) -> Job:
    try:
        name, options = read_line(line, defaults)
        name = name or usual
        check_name(name)
        if name in taken:
            raise ValueError(f"name: {name!r} stands twice")
    except ValueError as error:
        return Job(_readable_name(line, taken) or usual, None, f"{where}: {error}", usual)
    return Job(name, options, line=usual)


def _readable_name(line: str, taken: Collection[str]) -> str:
    """The name in a line that is wrong, if it has one of its own."""
    try:
        name = json.loads(line)["name"]
        check_name(name)
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
    return "" if name in taken else str(name)


def check_name(name: str) -> None:
    """ValueError unless a result may be called so."""
    if not NAME.fullmatch(name) or name.endswith(TAKEN):
        raise ValueError(
            "name: expected letters, digits, '.', '_' and '-', beginning with one of the first two "
            f"and not ending in {' or '.join(TAKEN)}, got {name!r}"
        )


def rank() -> tuple[int, int]:
    """Number of this process and of all, by torchrun's environment."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def make_one(kind: CheckpointKind, place: Place, job: Job, folder: Path) -> Tally:
    """Make one request; ValueError or OSError if it fails, of which nothing is recorded."""
    if rank()[1] > 1:
        raise ValueError(f"expected a batch for {rank()[1]} processes, got one request")
    check_writable(folder)
    plan = _plan(kind, place, job, folder)
    if plan is None:
        return Tally(kept=1)
    worker = Worker(kind, place, plan.asked.asked.upsample)
    _make(worker, kind, plan, folder)
    return Tally(made=1)


def make_all(kind: CheckpointKind, place: Place, jobs: Sequence[Job], folder: Path) -> Tally:
    """Make the requests that fall to this process; what fails is recorded and passed over.

    OSError if the folder cannot be written into.
    """
    check_writable(folder)
    tally, (number, count) = Tally(), rank()
    plans: list[Plan] = []
    for job in jobs[number::count]:
        try:
            if plan := _plan(kind, place, job, folder):
                plans.append(plan)
            else:
                tally.kept += 1
                _forget_failure(folder, job)
        except (ValueError, OSError) as error:
            _fail(folder, job, error, tally)
    if not plans:
        return tally
    worker = Worker(kind, place, any(plan.asked.asked.upsample for plan in plans))
    for plan in plans:
        try:
            _make(worker, kind, plan, folder)
            tally.made += 1
            _forget_failure(folder, plan.job)
        except (ValueError, OSError) as error:
            _fail(folder, plan.job, error, tally)
    return tally


def _plan(kind: CheckpointKind, place: Place, job: Job, folder: Path) -> Plan | None:
    """What is still to be made of a job, checked as far as can be without the network."""
    if job.options is None:
        raise ValueError(job.error)
    asked = kind.complete(job.options)
    asked.asked.text()
    read_known(asked)
    if _is_there(folder, job.name, _digest(kind, asked)):
        return None
    return Plan(job, asked, place.need(kind, asked, job.options.upsample))


def _make(worker: Worker, kind: CheckpointKind, plan: Plan, folder: Path) -> None:
    with progress_bar(plan.job.name, worker.steps(plan.asked)) as step:
        made = worker.make(plan.asked, plan.need, step)
    _write(folder, plan.job.name, kind, plan.asked, made)


def _fail(folder: Path, job: Job, error: Exception, tally: Tally) -> None:
    words = " ".join(str(error).split())
    tally.failed += 1
    asked = dataclasses.asdict(job.options) if job.options else None
    print(f"{job.name}: {words}", file=sys.stderr)
    write_report(folder / f"{job.name}.failed.json", {"error": words, "request": asked})


def _forget_failure(folder: Path, job: Job) -> None:
    """Of an earlier run, also one in which the line could not be read as far as its name."""
    for name in {job.name, job.line} - {""}:
        (folder / f"{name}.failed.json").unlink(missing_ok=True)


def _is_there(folder: Path, name: str, digest: str) -> bool:
    """Whether the result of this request is complete; ValueError if it is one of another."""
    file = folder / f"{name}.json"
    if not file.exists():
        return False
    if read_json(file).get("digest") != digest:
        raise ValueError(
            f"{name}: {file} is the result of another request, expected the same request, another "
            "name or another folder"
        )
    return True


def _digest(kind: CheckpointKind, asked: CompleteRequest) -> str:
    """What tells requests apart: every field, the files that they name, and the checkpoint."""
    told = [json.dumps(asked.about(), sort_keys=True), str(kind.folder.resolve())]
    for file in (asked.asked.image, asked.asked.video, asked.asked.prompt_file):
        path = Path(os.path.expanduser(file)) if file else None
        if path:
            told.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _write(
    folder: Path, name: str, kind: CheckpointKind, asked: CompleteRequest, made: Made
) -> None:
    about = {
        "request": asked.about(),
        "caption": made.caption,
        "checkpoint": kind.folder.name,
        "kind": kind.name,
        "versions": {each: version(each) for each in ("torch", "diffusers")},
    }
    files = [f"{name}.png" if len(made.frames) == 1 else f"{name}.mp4"]
    if len(made.frames) == 1:
        write_png(folder / files[0], made.frames[0], about)
    else:
        write_video(folder / files[0], made.frames, asked.fps, about)
        files.append(f"{name}.sheet.png")
        write_png(folder / files[1], contact_sheet(made.frames, asked.fps), about)
    if asked.asked.frames_as_png:
        frames = folder / f"{name}.frames"
        frames.mkdir(exist_ok=True)
        for number, frame in enumerate(made.frames):
            write_png(frames / f"{number:05d}.png", frame, about)
        files.append(frames.name)
    digest = {"digest": _digest(kind, asked), "files": files, "seconds": made.seconds}
    write_report(folder / f"{name}.json", {**about, **digest})
    (folder / f"{name}.failed.json").unlink(missing_ok=True)
