# SPDX-License-Identifier: Apache-2.0
"""Jobs on the disk: promised ones survive, half ones do not, results end when they are to."""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.serve.generation import job_store
from cosmos3_ros.serve.generation.job_store import Job, JobStore, new_id
from cosmos3_ros.serve.http.errors import RefusedError


def job(**changes: Any) -> Job:
    about = {"options": {"prompt": "p", "seed": 1}, "dynamics": False, "prompt": "p"}
    about |= {"size": "48x32", "seconds": "1", "has_input": True}
    return Job(**{"id": new_id(), "created": time.time(), **about, **changes})


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], tuple[JobStore, list[Job]]]]:
    """The store as the next process finds it, and what it has to make."""
    stores: list[JobStore] = []

    def again() -> tuple[JobStore, list[Job]]:
        for store in stores:
            store.close()
        stores.append(JobStore(tmp_path / "jobs", keep=60))
        return stores[-1], stores[-1].open()

    yield again
    stores[-1].close()


@pytest.fixture
def store(opened: Any) -> JobStore:
    return opened()[0]


def no(number: int) -> Callable[..., None]:
    """What fails as the system does."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, "no")

    return fail


def test_what_was_promised_is_there_after_a_restart_in_its_order(
    store: JobStore, opened: Any
) -> None:
    jobs = [job(created=time.time() + index) for index in (2, 1, 3)]
    for one in jobs:
        store.add(one, b"picture")
    jobs[0].status = job_store.RUNNING
    store.finish(jobs[2])
    new, waiting = opened()
    assert [one.id for one in waiting] == [jobs[1].id, jobs[0].id]
    assert (new.folder(jobs[0]) / "input").read_bytes() == b"picture"
    assert not (new.folder(jobs[2]) / "input").exists()  # which nobody needs any more
    assert new.find(jobs[2].id).status == "completed"
    assert new.find(jobs[2].id).options == jobs[2].options


@pytest.mark.parametrize("at", ["mkdir", "write_bytes", "write_text", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_job_is_promised_whole_or_not_at_all(
    store: JobStore, opened: Any, monkeypatch: Any, at: str, number: int
) -> None:
    fail = no(number)
    with monkeypatch.context() as broken:
        if at == "fsync":
            broken.setattr(os, "fsync", fail)
        else:
            broken.setattr(Path, at, fail)
        with pytest.raises((RefusedError, OSError)) as caught:
            store.add(job(), b"x")
    assert isinstance(caught.value, RefusedError) == (number == errno.ENOSPC)
    if isinstance(caught.value, RefusedError):
        assert (caught.value.status, caught.value.code) == (507, "no_space")
    assert store.jobs() == []
    assert opened()[1] == []


def test_without_room_nothing_is_promised(store: JobStore, monkeypatch: Any) -> None:
    left = shutil.disk_usage("/")._replace(free=job_store.LEAST_FREE - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    with pytest.raises(RefusedError, match="no room"):
        store.add(job(), None)


def test_results_stay_for_their_time(store: JobStore, monkeypatch: Any) -> None:
    one = job()
    store.add(one, None)
    store.finish(one)
    assert one.expires == pytest.approx(time.time() + 60, abs=5)
    store.find(one.id)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(RefusedError, match="there is no"):
        store.find(one.id)
    assert not store.folder(one).exists()


@pytest.mark.parametrize(
    "name", ["..", "../jobs", ".lock", "", "/etc/passwd", "video_" + "0" * 32, "%2e%2e", "\0"]
)
def test_only_ids_lead_anywhere(store: JobStore, name: str) -> None:
    with pytest.raises(RefusedError) as caught:
        store.find(name)
    assert caught.value.status == 404


def test_what_is_no_job_stays_where_it_is_and_does_no_harm(
    store: JobStore, opened: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    for name, text in {"a": "{", "b": "[]", "c": "{}", "d": json.dumps({"id": "../d"})}.items():
        (folder / name).mkdir()
        (folder / name / "job.json").write_text(text)
    (folder / ".draft-x").mkdir()
    (folder / "note.txt").write_text("mine")
    assert opened()[1] == []
    assert {*os.listdir(folder)} == {".lock", "a", "b", "c", "d", "note.txt"}


def test_one_server_at_a_time(store: JobStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another server has its jobs there"):
        JobStore(tmp_path / "jobs", keep=1).open()


def test_an_end_that_cannot_be_noted_is_made_again(
    store: JobStore, opened: Any, monkeypatch: Any
) -> None:
    one = job()
    store.add(one, None)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "write_text", no(errno.ENOSPC))
        with pytest.raises(OSError, match="no"):
            store.finish(one)
    assert [found.id for found in opened()[1]] == [one.id]
