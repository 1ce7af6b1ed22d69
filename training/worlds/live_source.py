# SPDX-License-Identifier: Apache-2.0
"""Clips for a training: of a world whose experts demonstrate meanwhile, or as `data` says else.

Every process keeps its own tasks, because a simulation with its renderer is large.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import queue
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...model.embodiment import Embodiment
from ..data import clip_source
from ..data.episodes import Clip, Episode, make_clip, resampled, shifted, window_begins
from ..data.parallel import without_interrupts
from ..options import DataOptions, GroundTruthOptions
from .catalog import make_world, open_world
from .recording import WorldDemonstration, disturbed_steps, perform
from .rollout import match_views
from .world import World, parse_tasks

_CALM = 0.2  # s after the beginning of a window that are not disturbed: what is played of a chunk
_BURST = 8  # steps
_WAITING = 64  # clips that the processes may be ahead of the training


def ground_truth_of(options: DataOptions) -> GroundTruthOptions | None:
    """What the source says of where things are; None if it says nothing.

    ValueError for a recipe's words about it that do not fit the source.
    """
    if not options.env:
        return clip_source.ground_truth_of(options)
    if options.ground_truth:
        raise ValueError("data.ground_truth: expected none with data.env, got some")
    return open_world(options.env, options.protocol, exam=False).ground_truth


def make_clips(
    options: DataOptions, embodiment: Embodiment, rank: int = 0, size: int = 1
) -> Generator[Clip]:
    """The clips for process `rank` of `size`, as they become ready, and their shifted copies.

    ValueError for a world that does not fit the embodiment, or has no such tasks.
    """
    for number, clip in enumerate(_clips(options, embodiment, rank, size)):
        yield clip
        for copy in range(1, options.copies):
            yield shifted(clip, embodiment.canvas, options.shift, (rank, number, copy))


def _clips(options: DataOptions, embodiment: Embodiment, rank: int, size: int) -> Generator[Clip]:
    if not options.env:
        yield from clip_source.make_clips(options, embodiment, rank, size)
        return
    world = open_world(options.env, options.protocol, exam=False)
    match_views(embodiment, world)
    tasks = parse_tasks(world, ",".join(options.tasks))
    cores = len(os.sched_getaffinity(0)) // size
    workers = min(options.workers or max(1, cores - 1), len(tasks))
    lanes = [
        _Lane(options, embodiment, tuple(tasks[n::workers]), rank, size) for n in range(workers)
    ]
    yield from _in_lanes(lanes, options.seconds)


@dataclasses.dataclass(frozen=True, slots=True)
class _Lane:
    """What one process demonstrates, task after task, again and again."""

    options: DataOptions
    embodiment: Embodiment
    tasks: tuple[str, ...]
    rank: int
    size: int

    def clips(self) -> Iterator[list[Clip]]:
        options = self.options
        worlds = {
            task: make_world(options.env, options.protocol, None, exam=False) for task in self.tasks
        }
        seeds = range(options.first_seed, options.first_seed + options.episodes)
        for number, seed in enumerate(seeds[self.rank :: self.size]):
            whole = math.ceil((number + 1) * options.whole) > math.ceil(number * options.whole)
            for task, world in worlds.items():
                wanted = WorldDemonstration(
                    options.env,
                    options.protocol,
                    task,
                    seed,
                    options.disturbance,
                    options.astray,
                    _BURST,
                    options.rested,
                )
                yield demonstrate(wanted, world, self.embodiment, options, whole)


def demonstrate(
    wanted: WorldDemonstration,
    world: World,
    embodiment: Embodiment,
    options: DataOptions,
    whole: bool,
) -> list[Clip]:
    """The clip of one demonstration, at the rate of the embodiment; none if the expert failed.

    whole: every frame is rendered, else only those that windows begin with. No window begins just
    before the expert was disturbed.
    """
    ratio = world.fps / embodiment.fps
    noisy = disturbed_steps(wanted, 2 * world.horizon)
    stride = (options.dense or options.stride) if whole else options.stride
    begins = window_begins(wanted.seed, stride, options.opening)
    calm = round(_CALM * world.fps)

    def is_window(frame: int) -> bool:
        step = int(frame * ratio + 1e-6)
        return begins(frame) and not noisy[step : step + calm].any()

    steps = {int(frame * ratio + 1e-6): frame for frame in range(2 * world.horizon)}
    episode = perform(
        wanted, world, lambda step: step in steps and (whole or is_window(steps[step]))
    )
    if episode is None:
        return []
    episode = dataclasses.replace(
        episode,
        views={
            ours: episode.views[theirs] for ours, theirs in match_views(embodiment, world).items()
        },
    )
    slow = _at_rate(episode, ratio, embodiment, steps, whole)
    if slow.looks is not None and not len(slow.looks):
        return []
    clip = make_clip(slow, embodiment, stride, options.opening)
    kept = np.array([is_window(frame) for frame in clip.starts], bool)
    if not kept.any():
        return []
    starts, rows, truth = clip.starts[kept], clip.rows[kept], clip.truth[kept]
    return [dataclasses.replace(clip, starts=starts, rows=rows, truth=truth)]


def _at_rate(
    episode: Episode, ratio: float, embodiment: Embodiment, steps: Mapping[int, int], whole: bool
) -> Episode:
    """The episode at the rate of the embodiment; steps: which of the world's are frames of it."""
    grippers = [column.gripper for column in embodiment.action]
    frames, states, actions = resampled(episode.states, episode.actions, ratio, grippers)
    assert episode.looks is not None  # asked for by `demonstrate`
    looks = np.array([steps[step] for step in episode.looks], int)
    there = looks < len(frames)
    return dataclasses.replace(
        episode,
        views={view: pictures[there] for view, pictures in episode.views.items()},
        states=states,
        actions=actions,
        truth=episode.truth[frames],
        looks=None if whole else looks[there],
    )


def _in_lanes(lanes: Sequence[_Lane], seconds: float) -> Generator[Clip]:
    """What processes of their own make, for so many seconds; ends them when it is closed.

    Raises what went wrong in one of them.
    """
    context = multiprocessing.get_context("spawn")  # a renderer does not survive a fork
    made: Any = context.Queue(_WAITING)
    processes = [context.Process(target=_fill, args=(lane, made), daemon=True) for lane in lanes]
    with without_interrupts():
        for process in processes:
            process.start()
    left, end = len(processes), time.monotonic() + seconds
    try:
        while left and time.monotonic() < end:
            try:
                item = made.get(timeout=1.0)
            except queue.Empty:
                _check_alive(processes)
                continue
            if isinstance(item, Exception):
                raise item
            left -= item is None
            yield from item or ()
    finally:
        for process in processes:
            process.kill()  # it may wait for room in the queue
        for process in processes:
            process.join()


def _fill(lane: _Lane, made: Any) -> None:
    """The process of a lane: its clips, in the end None, or the exception that ended it."""
    os.nice(10)  # gives way to the training that it works for
    try:
        for clips in lane.clips():
            made.put(clips)
        made.put(None)
    except Exception as error:  # raised in the process that asks for clips
        made.put(error)


def _check_alive(processes: Sequence[Any]) -> None:
    """RuntimeError if a process was killed."""
    if dead := [process for process in processes if process.exitcode not in (None, 0)]:
        raise RuntimeError(f"a demonstrating process ended with code {dead[0].exitcode}")
