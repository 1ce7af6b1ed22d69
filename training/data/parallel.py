# SPDX-License-Identifier: Apache-2.0
"""A function applied to many jobs in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Sequence
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
    """
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if not jobs or (workers <= 1 and not nice):
        yield from map(function, jobs)
        return
    # "spawn": a renderer's OpenGL context and torch's threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, os.nice, (nice,)) as pool:
        yield from pool.imap_unordered(function, jobs)
