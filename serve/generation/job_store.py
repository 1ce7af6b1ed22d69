# SPDX-License-Identifier: Apache-2.0
"""Jobs in a folder: what was promised outlives the process, results stay for a stated time.

A job is a folder with its request (job.json) and the file that it begins with, moved into its place
when all of it is on the disk. It is known by its id only if it was found there or made here, so
that no name from outside becomes a path.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...model.checkpoint_io.atomic_files import put, sync, write_text
from ..http.errors import RefusedError

ABOUT, INPUT, RESULT = "job.json", "input", "video.mp4"
DRAFT, GONE = ".draft-", ".gone-"
QUEUED, RUNNING, COMPLETED, FAILED = "queued", "in_progress", "completed", "failed"
# Bytes that have to be free before something is promised: results, and the notes of their ends.
LEAST_FREE = 256 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclasses.dataclass(slots=True)
class Job:
    """One video: what was asked for, and what has become of it. Times are Unix seconds."""

    id: str
    created: float
    options: dict[str, Any]  # of GenerateOptions or ActionOptions, without files
    dynamics: bool  # the video of given actions
    prompt: str
    size: str
    seconds: str
    has_input: bool
    status: str = QUEUED
    completed: float | None = None
    expires: float | None = None
    error: dict[str, str] | None = None
    progress: int = 0  # percent

    def about(self, model: str) -> dict[str, Any]:
        """The job as OpenAI's clients read it."""
        return {
            "id": self.id,
            "object": "video",
            "model": model,
            "status": self.status,
            "progress": self.progress,
            "created_at": int(self.created),
            "completed_at": None if self.completed is None else int(self.completed),
            "expires_at": None if self.expires is None else int(self.expires),
            "prompt": self.prompt,
            "size": self.size,
            "seconds": self.seconds,
            "seed": self.options.get("seed"),
            "error": self.error,
            "remixed_from_video_id": None,
        }


class JobStore:
    """The jobs in a folder, which one server at a time uses; keep: seconds that results stay.

    `open` before anything else. Methods may be called from any thread, one at a time for each job.
    """

    def __init__(self, folder: Path, keep: float) -> None:
        self._folder, self._keep = folder, keep
        self._jobs: dict[str, Job] = {}
        self._lock: IO[str] | None = None

    def open(self) -> list[Job]:
        """Read what is there; the jobs that are still to be made, the oldest first.

        ValueError if another server has the folder; OSError if it cannot be written into.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ValueError(f"{self._folder}: another server has its jobs there") from None
        for folder in self._folder.iterdir():
            if folder.name.startswith((DRAFT, GONE)):  # never promised; deleted
                shutil.rmtree(folder, ignore_errors=True)
            elif (folder / ABOUT).is_file() and (job := _read(folder / ABOUT)):
                self._jobs[job.id] = job
        self.expire()
        waiting = [job for job in self._jobs.values() if job.status in (QUEUED, RUNNING)]
        for job in waiting:
            job.status, job.progress = QUEUED, 0
        return sorted(waiting, key=lambda job: job.created)

    def close(self) -> None:
        """Leave the folder to others."""
        if self._lock:
            self._lock.close()

    def add(self, job: Job, data: bytes | None) -> None:
        """Put a job on the disk: from here on it is promised. RefusedError if there is no room."""
        draft = self._folder / f"{DRAFT}{job.id}"
        with full_disk():
            if shutil.disk_usage(self._folder).free < LEAST_FREE:
                raise OSError(errno.ENOSPC, "no room")
            try:
                draft.mkdir()
                if data is not None:
                    (draft / INPUT).write_bytes(data)
                    sync(draft / INPUT)
                write_text(draft / ABOUT, _text(job))
                put(draft, self.folder(job))
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                raise
        self._jobs[job.id] = job

    def finish(self, job: Job, error: dict[str, str] | None = None) -> None:
        """Note how a job ended. OSError if it cannot be: another run will make it again."""
        job.status, job.error = FAILED if error else COMPLETED, error
        job.progress = job.progress if error else 100
        job.completed = time.time()
        job.expires = job.completed + self._keep
        write_text(self.folder(job) / ABOUT, _text(job))
        (self.folder(job) / INPUT).unlink(missing_ok=True)

    def find(self, name: str) -> Job:
        """The job of an id; RefusedError if there is none, or no more."""
        self.expire()
        job = self._jobs.get(name)
        if job is None:
            raise RefusedError(404, f"video: there is no {name[:80]!r}, or no more", "not_found")
        return job

    def jobs(self) -> list[Job]:
        """All that are there, the newest first."""
        self.expire()
        return sorted(self._jobs.values(), key=lambda job: (job.created, job.id), reverse=True)

    def expire(self) -> None:
        """Remove what has been kept long enough."""
        now = time.time()
        for job in [*self._jobs.values()]:
            if job.expires is not None and job.expires <= now:
                self.remove(job)

    def remove(self, job: Job) -> None:
        """Remove a job and all that came of it."""
        if self._jobs.pop(job.id, None) is None:
            return
        gone = self._folder / f"{GONE}{job.id}"
        with contextlib.suppress(FileNotFoundError):  # somebody has removed it by hand
            self.folder(job).rename(gone)  # so that no half of one is found after a restart
        shutil.rmtree(gone, ignore_errors=True)

    def folder(self, job: Job) -> Path:
        """Where everything about a job lies."""
        return self._folder / job.id

    def result(self, job: Job) -> Path:
        """The video of a job that is completed."""
        return self.folder(job) / RESULT

    def scratch(self) -> Path:
        """A new folder for what is answered at once; a restart removes it."""
        folder = self._folder / f"{DRAFT}{secrets.token_hex(16)}"
        with full_disk():
            folder.mkdir()
        return folder


def new_id() -> str:
    """An id that nobody can guess."""
    return f"video_{secrets.token_hex(16)}"


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """A full disk as a client may read it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            reason = "the server has no room for more results; delete some, or try again later"
            raise RefusedError(507, reason, "no_space") from None
        raise


def _read(file: Path) -> Job | None:
    """A job as it was written; None for what is none, which stays where it is."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        job = Job(**fields)
        return job if job.id == file.parent.name else None
    except (ValueError, TypeError, OSError):
        return None


def _text(job: Job) -> str:
    return json.dumps(dataclasses.asdict(job), indent=1)


def no_room(error: BaseException) -> bool:
    """Whether an error is that of a full disk."""
    return isinstance(error, OSError) and error.errno in FULL
