# SPDX-License-Identifier: Apache-2.0
"""Makes the videos of a benchmark as a batch, and puts those the scorer reads into a folder.

Results lie in OUT/results, as those of every batch; OUT/videos has nothing but the videos, under
the names that the scorer expects. A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...model.checkpoint_io.json_file import read_json
from ...model.generation.batch import Tally, make_all, rank
from ...model.generation.checkpoint_kind import CheckpointKind
from ...model.generation.result_files import write_video
from ...model.generation.worker import Place
from ..data.video_io import read_video
from .cases import VideoCase


@dataclasses.dataclass(frozen=True, slots=True)
class Produced:
    """How many videos the scorer finds, of how many it looks for; the counts of the batch."""

    videos: Path
    found: int
    expected: int
    tally: Tally

    def text(self) -> str:
        """The counts in words."""
        return f"{self.found} of {self.expected} videos in {self.videos}; {self.tally.text()}"


def produce(kind: CheckpointKind, place: Place, cases: Sequence[VideoCase], out: Path) -> Produced:
    """Make what is not there yet, and publish what is; of several processes each its share."""
    results, videos = out / "results", out / "videos"
    tally = make_all(kind, place, [case.job for case in cases], results)
    number, count = rank()
    mine = cases[number::count]
    found = sum(_publish(case, results, videos / case.video) for case in mine)
    return Produced(videos, found, len(mine), tally)


def _publish(case: VideoCase, results: Path, video: Path) -> bool:
    """Put a result where the scorer looks for it; False, and nothing there, if it has failed."""
    report = results / f"{case.name}.json"
    if not report.exists() or (results / f"{case.name}.failed.json").exists():
        video.unlink(missing_ok=True)
        return False
    if video.exists() and video.stat().st_mtime_ns >= report.stat().st_mtime_ns:
        return True
    video.parent.mkdir(parents=True, exist_ok=True)
    made = results / f"{case.name}.mp4"
    if case.frames is None:
        draft = video.with_name(f".{video.name}.draft")
        shutil.copyfile(made, draft)
        os.replace(draft, video)
        return True
    about = read_json(report)
    first, count = case.frames
    fps = float(about["request"]["fps"])
    write_video(
        video, read_video(made, first / fps, count, fps), fps, {"request": about["request"]}
    )
    return True
