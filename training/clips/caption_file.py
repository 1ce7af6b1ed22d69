# SPDX-License-Identifier: Apache-2.0
"""captions.jsonl: which frames of which video a caption is about, read strictly.

A line is {"video": FILE, "caption": TEXT}, or one of the video_dataset_file.jsonl that NVIDIA's
framework trains with: {"vision_path": FILE, "t2w_windows": [...]}.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = ("captions.jsonl", "video_dataset_file.jsonl")
_FRAMES = ("start_frame", "end_frame", "temporal_interval")


@dataclasses.dataclass(frozen=True, slots=True)
class CaptionedFrames:
    """Frames `first` to `last` of a video, and what they show."""

    video: Path
    captions: tuple[str, ...]  # wordings: sentences, or JSON objects
    where: str  # file and line, for errors
    first: int = 0
    last: int | None = None  # the last one, with it; None: to the end
    interval: int = 0  # every so many of them; 0: as the training's options say


def find_captions(folder: Path) -> Path | None:
    """The captions file of a folder; None if it has none."""
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder}: expected one of {' and '.join(FILES)}, got both")
    return found[0] if found else None


def read_captions(file: Path) -> list[CaptionedFrames]:
    """All lines of a file; ValueError names the line and what is wrong with it.

    Empty lines are left out. Videos are named from the file's folder on, and lie in it.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not readable as UTF-8 ({error.reason})") from None
    found = [
        frames
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
        for frames in _read_line(line, f"{file}:{number}", file.parent)
    ]
    if not found:
        raise ValueError(f"{file}: expected captions, got none")
    return found


def _read_line(line: str, where: str, folder: Path) -> Iterator[CaptionedFrames]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not readable as JSON ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{where}: expected an object, got {type(fields).__name__}")
    if "vision_path" in fields:
        windows = fields.get("t2w_windows")
        if not isinstance(windows, list) or not windows:
            raise ValueError(f"{where}: t2w_windows: expected a list of windows, got {windows!r}")
        video = _video(fields["vision_path"], "vision_path", where, folder)
        for number, window in enumerate(windows):
            place = f"{where}: t2w_windows[{number}]"
            if not isinstance(window, dict):
                raise ValueError(f"{place}: expected an object, got {window!r}")
            yield _frames(window, video, "caption_json" in window, place)
        return
    known = ("video", "caption", *_FRAMES)
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{where}: unknown {unknown}, expected some of {list(known)}")
    yield _frames(fields, _video(fields.get("video"), "video", where, folder), False, where)


def _frames(fields: dict[str, Any], video: Path, structured: bool, where: str) -> CaptionedFrames:
    key = "caption_json" if structured else "caption"
    captions = _captions(fields.get(key), f"{where}: {key}")
    for name in _FRAMES:
        value, least = fields.get(name, 0), int(name == "temporal_interval" and name in fields)
        if type(value) is not int or value < least:
            raise ValueError(f"{where}: {name}: expected {least} or more, got {value!r}")
    first, last = fields.get("start_frame", 0), fields.get("end_frame")
    if last is not None and last < first:
        raise ValueError(f"{where}: end_frame: expected {first} or more, got {last}")
    return CaptionedFrames(video, captions, where, first, last, fields.get("temporal_interval", 0))


def _captions(value: Any, where: str) -> tuple[str, ...]:
    wordings = value if isinstance(value, list) else [value]
    if not wordings or not all(_is_caption(wording) for wording in wordings):
        raise ValueError(
            f"{where}: expected a sentence, an object of named fields or a list of them, got "
            f"{json.dumps(value)[:60]}"
        )
    return tuple(
        wording.strip() if isinstance(wording, str) else json.dumps(wording, ensure_ascii=False)
        for wording in wordings
    )


def _is_caption(wording: Any) -> bool:
    return bool(wording.strip() if isinstance(wording, str) else isinstance(wording, dict))


def _video(value: Any, key: str, where: str, folder: Path) -> Path:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {key}: expected the name of a video file, got {value!r}")
    inside = not ("\0" in value or "://" in value)
    path = (folder / value).resolve() if inside else folder
    if not inside or not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: {key}: expected a file in {folder}, got {value!r}")
    if not path.is_file():
        raise ValueError(f"{where}: {key}: no such video {value!r}")
    return path
