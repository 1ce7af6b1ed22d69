# SPDX-License-Identifier: Apache-2.0
"""A worker takes the newest item, drops the others, and survives its job's errors."""

import os
import threading

import pytest

from cosmos3_ros.ros.worker_thread import LAST, NICE, Worker


def test_the_newest_item_wins_and_none_waits_in_a_queue() -> None:
    gate, begun, done, results = threading.Event(), threading.Event(), threading.Event(), []

    def job(item: int) -> None:
        begun.set()
        gate.wait(30)
        results.append(item)
        if item == 9:
            done.set()

    worker = Worker("test", job, failed=lambda error: None)
    worker.submit(0)
    assert begun.wait(30)
    for item in range(1, 10):
        worker.submit(item)
    assert not worker.idle
    gate.set()
    assert done.wait(30)
    worker.close()
    assert results == [0, 9]


def test_an_error_is_delivered_and_the_next_item_runs() -> None:
    errors, done = [], threading.Event()

    def job(item: str) -> None:
        if item == "bad":
            raise ValueError(item)
        done.set()

    def failed(error: Exception) -> None:
        errors.append(str(error))
        worker.submit("good")

    worker = Worker("test", job, failed)
    worker.submit("bad")
    assert done.wait(30)
    worker.close()
    assert errors == ["bad"]


def test_what_was_dropped_does_not_run() -> None:
    gate, begun, results = threading.Event(), threading.Event(), []

    def job(item: int) -> None:
        begun.set()
        gate.wait(30)
        results.append(item)

    worker = Worker("test", job, failed=lambda error: None)
    worker.submit(1)
    assert begun.wait(30)
    worker.submit(2)
    worker.drop()
    gate.set()
    worker.close()
    assert results == [1]


@pytest.mark.parametrize(("wish", "nice"), [((), NICE), ((LAST,), LAST)])
def test_the_job_gives_way_to_callbacks(wish: tuple[int, ...], nice: int) -> None:
    """Its thread alone is nice: the process around it is as it was."""
    before, seen, done = os.getpriority(os.PRIO_PROCESS, 0), [], threading.Event()

    def job(item: int) -> None:
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))
        done.set()

    worker = Worker("test", job, lambda error: None, *wish)
    worker.submit(0)
    assert done.wait(30)
    worker.close()
    assert seen == [min(19, before + nice)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
