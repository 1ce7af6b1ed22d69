# SPDX-License-Identifier: Apache-2.0
"""A function applied to many jobs in processes of their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import resource_tracker
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 0, nice: int = 0
) -> Generator[Result]:
    """The results of `function` for the jobs, in the order in which they become ready.

    workers: processes, 0 for one per core. nice: how much their priority is lowered, so that they
    give way to the training that they work for; with it even a single worker is a process of its
    own, because a training has several such threads and a simulation belongs to one thread.
    Ctrl-C reaches the asking process alone, which ends the others.
    """
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if not jobs or (workers <= 1 and not nice):
        yield from map(function, jobs)
        return
    # "spawn": a renderer's OpenGL context and torch's threads do not survive a fork.
    with without_interrupts():
        pool = multiprocessing.get_context("spawn").Pool(workers, os.nice, (nice,))
    with pool:
        yield from pool.imap_unordered(function, jobs)


def write_missing(
    write: Callable[[Job], int],
    jobs: Sequence[Job],
    written: int,
    total: int,
    workers: int,
    tell: Callable[[str], None],
) -> None:
    """Do the jobs, each of which writes some episodes and returns how many, and tell how far it is.

    written: episodes that are there; total: those that are then.
    """
    began = time.monotonic()
    for ready, count in enumerate(in_parallel(write, jobs, workers), 1):
        written += count
        left = (time.monotonic() - began) / ready * (len(jobs) - ready)
        tell(f"{written} of {total} episodes written, {left:.0f} s left")


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes and threads that are begun meanwhile never get a Ctrl-C; this one gets it after."""
    resource_tracker.ensure_running()  # it would let interrupts through again when it is started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
