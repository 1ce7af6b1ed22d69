# SPDX-License-Identifier: Apache-2.0
"""The clips of a folder: video files, folders of frames, and folders of the views of one clip."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...model.interface import Clip
from ...model.language.media_file import read_media
from ...model.language.vision_encoder import sample_frames

VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclasses.dataclass(frozen=True, slots=True)
class Footage:
    """One clip: the files of each of its views. A view is one video, or its frames in order."""

    name: str
    views: tuple[tuple[Path, ...], ...]

    def state(self) -> str:
        """Changes when a file of the clip does."""
        about = [file.stat() for view in self.views for file in view]
        newest = max(one.st_mtime_ns for one in about)
        return f"{len(about)}-{sum(one.st_size for one in about)}-{newest}"

    def read(self, fps: float, last: bool = False) -> list[np.ndarray | Clip]:
        """What a reasoner is shown of each view: about two frames a second of it.

        fps: of frames that are files; last: the last picture alone. ValueError names a file that
        cannot be read, or that has another size than the frames before it.
        """
        return [_read(view, fps, last) for view in self.views]


def find_clips(folder: Path) -> list[Footage]:
    """The clips of a folder in the order of their names; files of other kinds are left aside.

    ValueError if there is none, or for a folder that is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of clips, got {_kind(folder)}")
    found: dict[str, Footage] = {}
    for path in _sorted(folder):
        views = _views(path)
        if not views:
            continue
        name = path.name if path.is_dir() else path.stem
        if name in found:
            raise ValueError(f"{path}: expected another name, {name!r} is a clip beside it")
        found[name] = Footage(name, views)
    if not found:
        raise ValueError(
            f"{folder}: expected clips (video files, folders of frames or of views), got none"
        )
    return list(found.values())


def _kind(path: Path) -> str:
    return "a file" if path.exists() else "none"


def _views(path: Path) -> tuple[tuple[Path, ...], ...]:
    """Of a clip's file or folder; () if it is none."""
    if path.is_file():
        return ((path,),) if path.suffix.lower() in (*VIDEOS, *PICTURES) else ()
    entries = _sorted(path)
    pictures = tuple(one for one in entries if one.suffix.lower() in PICTURES and one.is_file())
    videos = tuple((one,) for one in entries if one.suffix.lower() in VIDEOS and one.is_file())
    folders = tuple(view for one in entries if one.is_dir() for view in _frames(one))
    kinds = [kind for kind in ((pictures,) if pictures else (), videos, folders) if kind]
    if len(kinds) > 1:
        raise ValueError(
            f"{path}: expected frames, or a video or a folder of frames for each view, got a "
            "mixture of them"
        )
    return kinds[0] if kinds else ()


def _frames(folder: Path) -> Sequence[tuple[Path, ...]]:
    frames = tuple(one for one in _sorted(folder) if one.suffix.lower() in PICTURES)
    return (frames,) if frames else ()


def _sorted(folder: Path) -> list[Path]:
    """Without what is hidden; 9 before 10."""

    def key(path: Path) -> list[tuple[int, str]]:
        words = re.split(r"(\d+)", path.name.lower())
        return [(int(word), "") if word.isdigit() else (-1, word) for word in words]

    return sorted((one for one in folder.iterdir() if not one.name.startswith(".")), key=key)


def _read(view: tuple[Path, ...], fps: float, last: bool) -> np.ndarray | Clip:
    if len(view) == 1 or last:
        shown = read_media(view[-1])
        return shown.frames[-1] if last and isinstance(shown, Clip) else shown
    indices = sample_frames(len(view), fps)
    frames = [_picture(view[index]) for index in indices]
    for index, frame in zip(indices, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise ValueError(
                f"{view[index]}: expected {frames[0].shape[1]} x {frames[0].shape[0]} pixels like "
                f"the frames before it, got {frame.shape[1]} x {frame.shape[0]}"
            )
    return Clip(frames, indices, fps)


def _picture(file: Path) -> np.ndarray:
    frame = read_media(file)
    if isinstance(frame, Clip):
        raise ValueError(f"{file}: expected a picture, got a video")
    return frame
