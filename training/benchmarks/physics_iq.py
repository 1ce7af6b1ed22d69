# SPDX-License-Identifier: Apache-2.0
"""Physics-IQ: five seconds after a switch frame, or after three seconds of video.

Layout and names: github.com/google-deepmind/physics-IQ-benchmark, commit e457754 (2026-04-16),
README.md, descriptions/descriptions.csv and code/run_physics_iq.py: 198 videos of exactly five
seconds, without the conditioning frames, in a folder that holds nothing else.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...model.generation.batch import Job
from ...model.generation.conditioning_media import CONTINUED
from ...model.generation.options import GenerateOptions
from .cases import VideoCase
from .layout import PICTURES, Prompts, first_file, one_with_prefix

SECONDS = 5
_COLUMNS = ("scenario", "description", "generated_video_name")


def read_cases(
    data: Path, track: str, given: Mapping[str, Any], prompts: Prompts
) -> list[VideoCase]:
    """The videos that the scorer expects, one for each first take.

    given: fields of the request that are the user's; `fps` is 24 without. What is missing for a
    case makes that case fail. ValueError if the descriptions cannot be read, or fps is broken.
    """
    fps = given.get("fps") or 24.0
    if fps != int(fps):
        raise ValueError(f"--fps: expected a whole number, as the scorer's folders, got {fps:g}")
    known, seconds = (1 if track == "i2v" else CONTINUED), SECONDS * int(fps)
    usual = {"fps": fps, "frames": known + seconds + (1 - known - seconds) % 4}
    cases = []
    for row in _descriptions(data):
        video = row["generated_video_name"]
        name = Path(video).stem
        try:
            fields = prompts.of(name, row["description"])
            file = _conditioning(data, track, name[:5], int(fps))
            more = {"image": str(file)} if track == "i2v" else {"video": str(file), "keep": "last"}
            job = Job(name, GenerateOptions(**{**usual, **fields, **given, **more}))
        except ValueError as error:
            job = Job(name, None, str(error))
        cases.append(VideoCase(job, video, (known, seconds)))
    return cases


def _descriptions(data: Path) -> Iterator[Mapping[str, str]]:
    file = first_file(data, "descriptions.csv", "descriptions/descriptions.csv")
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [*csv.DictReader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: expected a table of comma-separated values ({error})") from None
    if not rows or any(not row.get(column) for row in rows for column in _COLUMNS):
        raise ValueError(f"{file}: expected rows with {', '.join(_COLUMNS)}, got others")
    yield from (row for row in rows if "_take-2_" not in row["scenario"])


def _conditioning(data: Path, track: str, prefix: str, fps: int) -> Path:
    """The switch frame, or the video before it; at 30 frames per second if there is none at fps."""
    if track == "i2v":
        return one_with_prefix([data / "switch-frames"], prefix, PICTURES)
    folders = [
        data / "split-videos" / kind / f"{rate}FPS"
        for rate in (fps, 30)
        for kind in ("conditioning", "conditioning-videos")
    ]
    return one_with_prefix(folders, prefix, (".mp4",))
