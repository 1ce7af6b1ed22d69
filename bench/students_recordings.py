# SPDX-License-Identifier: Apache-2.0
"""The recordings of `video_students`: demonstrations to learn from and held-out ones, as clips."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from cosmos3_ros.model.embodiment import find_embodiment
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.data.episodes import Clip, make_clip
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.data.video_io import write_video

ROBOT = find_embodiment("droid_sim")
SIZE, FRAMES = ROBOT.canvas.content, 17
MOST = 10_000  # demonstrations of each task
TRAIN, HELD = 20_000_000, 30_000_000  # first seeds; the exam has 0 and the following
STRIDE = 6  # frames between the windows of a clip
EVERY = 24  # frames between two observations of which chunks are compared


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """One demonstration: its clip, and observations along it."""

    task: str
    clip: Clip
    seen: list[Observation]


def take(wanted: Demonstration) -> Taken | None:
    """Record one demonstration; None if the expert failed."""
    episode = record(wanted)
    if episode is None or len(episode) < FRAMES:
        return None
    seen = [
        Observation(
            {view: frames[step] for view, frames in episode.views.items()},
            episode.states[step],
            episode.instructions[0],
            0,
        )
        for step in range(0, len(episode), EVERY)
    ]
    held = wanted.seed >= HELD
    clip = make_clip(episode, ROBOT, STRIDE)
    return Taken(wanted.task, clip, seen if held else [])


def demonstrate(chosen: argparse.Namespace) -> tuple[list[Taken], list[Taken]]:
    """Recordings to learn from, as many as there is time for, and held-out ones."""
    tasks = chosen.tasks.split(",")
    held = [
        Demonstration(task, HELD + number, astray=0.0, noise=0.0)
        for number in range(chosen.held)
        for task in tasks
    ]
    learned = [
        Demonstration(task, TRAIN + number, scatter=0.3) for number in range(MOST) for task in tasks
    ]
    found: list[Taken] = []
    kept = [one for one in in_parallel(take, held, chosen.workers) if one]
    until = time.monotonic() + chosen.record
    for one in in_parallel(take, learned, chosen.workers):
        found += [one] if one else []
        if time.monotonic() > until and found:
            break
    return found, kept


def write_clips(folder: Path, taken: Sequence[Taken]) -> Path:
    """A folder of clips with captions.jsonl, as a user has one."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = SIZE

    def write(numbered: tuple[int, Taken]) -> str:
        number, one = numbered
        write_video(folder / f"{number:05d}.mp4", one.clip.frames[:, :height, :width], 15)
        line = {"video": f"{number:05d}.mp4", "caption": list(one.clip.instructions)}
        return json.dumps(line) + "\n"

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        lines = list(threads.map(write, enumerate(taken)))
    (folder / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
