# SPDX-License-Identifier: Apache-2.0
"""The clips that data options ask for: from experts in other processes, or from a dataset."""

from __future__ import annotations

import dataclasses
import math
import os
import zlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...model.embodiment import Embodiment
from ..options import DataOptions, GroundTruthOptions
from .demonstrations import LIMIT, Demonstration, record
from .episodes import Clip, make_clip, make_span, part, window_begins
from .ground_truth import SIMULATED, known_of
from .parallel import in_parallel

if TYPE_CHECKING:  # trainings on the simulation need none of it
    from .lerobot_reader import Layout


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """One demonstration to record, and which frames of it to render."""

    demonstration: Demonstration
    embodiment: Embodiment
    stride: int  # frames between windows of which only the first frame is rendered
    opening: int  # further such windows at the beginning, see episodes.make_clip
    dense: int  # frames between windows of which all frames are rendered
    whole: bool  # render every frame; else window beginnings, and spans if there are any
    span: int = 0  # frames of a span that is rendered whole
    share: float = 0.0  # of the spans that are


def _perform(job: _Job) -> list[Clip]:
    """The clips of one demonstration; none if the expert failed."""
    if job.whole:
        episode = record(job.demonstration)
        return (
            [] if episode is None else [make_clip(episode, job.embodiment, job.dense, job.opening)]
        )
    begins, spans = window_begins(job.demonstration.seed, job.stride, job.opening), _spans(job)
    seen = {step for span in spans for step in span}
    episode = record(job.demonstration, lambda step: begins(step) or step in seen)
    if episode is None:
        return []
    clips = [
        make_span(episode, job.embodiment, span, job.dense)
        for span in spans
        if span.start < len(episode)
    ]
    if steps := [step for step in range(len(episode)) if begins(step)]:
        clips.append(make_clip(part(episode, steps), job.embodiment))
    return clips


def _spans(job: _Job) -> list[range]:
    """The spans of frames to render, from a random phase, so that all windows are as likely."""
    random = np.random.default_rng(
        [zlib.crc32(job.demonstration.task.encode()), job.demonstration.seed, 4]
    )
    if not job.span:
        return []
    firsts = range(-int(random.integers(job.span)), LIMIT, job.span)
    spans = [
        range(max(first, 0), first + job.span) for first in firsts if random.random() < job.share
    ]
    return [span for span in spans if len(span) > job.embodiment.horizon]


def layout_of(info: Mapping[str, Any], embodiment: Embodiment, options: DataOptions) -> Layout:
    """How a LeRobot dataset is read: by the options, else by our names, else by LeRobot's own.

    info: what `read_info` says of it.
    """
    from .lerobot_reader import make_layout, usual_features

    features = {**usual_features(info["features"], embodiment), **options.features}
    layout = make_layout(embodiment, features, options.gripper, options.instruction, options.units)
    truth = options.ground_truth
    return dataclasses.replace(layout, truth=truth.feature) if truth else layout


def ground_truth_of(options: DataOptions) -> GroundTruthOptions | None:
    """What the source says of where things are; None if it says nothing.

    ValueError for a recipe's words about it that do not fit the source.
    """
    said = options.ground_truth
    if not options.dataset:
        if said:
            raise ValueError("data.ground_truth: expected none without data.dataset, got some")
        return SIMULATED
    from .lerobot.metadata import read_info

    features = read_info(Path(options.dataset))["features"]
    if said is None:
        return known_of(features, options.dataset)
    if said.feature not in features:
        raise ValueError(
            f"data.ground_truth.feature: {options.dataset} lacks {said.feature!r}; it has "
            f"{sorted(features)}"
        )
    said.check_width(math.prod(features[said.feature]["shape"]), options.dataset)
    return said


def make_clips(
    options: DataOptions, embodiment: Embodiment, rank: int = 0, size: int = 1
) -> Generator[Clip]:
    """The clips for process `rank` of `size`, as they become ready.

    Raises ValueError for spans that hold no window.
    """
    if options.dataset:
        from .lerobot.metadata import read_info
        from .lerobot_reader import read_episodes

        info = read_info(Path(options.dataset))
        layout = layout_of(info, embodiment, options)
        for episode in read_episodes(options.dataset, embodiment, layout, rank, size, info=info):
            yield make_clip(episode, embodiment, options.stride, options.opening)
        return
    demonstrations = (
        Demonstration(
            task,
            seed,
            options.distractors,
            noise=options.noise,
            astray=options.astray,
            scatter=options.scatter,
        )
        for seed in range(options.first_seed, options.first_seed + options.episodes)[rank::size]
        for task in options.own_tasks
    )
    if options.span and options.span <= embodiment.horizon:
        raise ValueError(
            f"data.span: expected 0 or more than the {embodiment.horizon} rows of a chunk, got "
            f"{options.span}"
        )
    dense, tasks, share = options.dense or options.stride, len(options.own_tasks), options.whole
    shape = (embodiment, options.stride, options.opening, dense)
    jobs = [
        _Job(
            demonstration,
            *shape,
            not options.span and _whole(number, tasks, share),
            options.span,
            share,
        )
        for number, demonstration in enumerate(demonstrations)
    ]
    workers = options.workers or max(1, len(os.sched_getaffinity(0)) // size - 1)
    for clips in in_parallel(_perform, jobs, workers, nice=10):
        yield from clips


def _whole(number: int, tasks: int, share: float) -> bool:
    """Whether to render every frame of this demonstration.

    That is the same share of each task, and tasks take turns.
    """
    turn, task = divmod(number, tasks)
    return int((turn + 1) * share + task / tasks) > int(turn * share + task / tasks)
