# SPDX-License-Identifier: Apache-2.0
"""The clips that video options ask for, read in a thread while the training runs."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..data.lerobot_reader import camera_episodes
from ..video_options import VideoOptions
from .caption_file import FILES, CaptionedFrames, find_captions, read_captions
from .video_clip import VideoClip, fit_frames, interval_of, make_clip, read_frames

_AHEAD = 8  # clips that are read before somebody asks for them


def read_clips(options: VideoOptions, rank: int = 0, size: int = 1) -> Iterator[VideoClip]:
    """The share of process `rank` of `size`; ValueError names what is missing or wrong.

    Captions, and which videos there are, are checked before the first clip is read.
    """
    folder = Path(options.clips)
    if not folder.is_dir():
        raise ValueError(f"video.clips: no folder {folder}")
    file = find_captions(folder)
    if file is not None:
        if options.camera:
            raise ValueError(f"video.camera: expected none beside {file}, got {options.camera!r}")
        return _of_folder(file, options, rank, size)
    if not (folder / "meta/info.json").is_file():
        raise ValueError(
            f"video.clips: {folder} has none of {', '.join(FILES)} and is no LeRobot dataset"
        )
    return _of_dataset(folder, options, rank, size)


def _of_folder(file: Path, options: VideoOptions, rank: int, size: int) -> Iterator[VideoClip]:
    share = itertools.islice(read_captions(file), rank, None, size)
    return (_read(said, options) for said in share)


def _read(said: CaptionedFrames, options: VideoOptions) -> VideoClip:
    interval = 0 if options.fps else said.interval
    try:
        frames, fps = read_frames(said.video, said.first, said.last, interval, options)
    except ValueError as error:
        raise ValueError(f"{said.where}: {error}") from None
    return make_clip(frames, fps, said.captions, options)


def _of_dataset(folder: Path, options: VideoOptions, rank: int, size: int) -> Iterator[VideoClip]:
    episodes = camera_episodes(folder, options.camera, rank, size)

    def clip(pictures: np.ndarray, rate: float, tasks: tuple[str, ...]) -> VideoClip:
        step = interval_of(rate, options.fps)
        return make_clip(fit_frames(pictures[::step], options), rate / step, tasks, options)

    return itertools.starmap(clip, episodes)


class ClipReader:
    """Reads clips in a thread, a few ahead of who takes them, so that memory stays bounded."""

    def __init__(self, clips: Iterator[VideoClip]):
        self.taken = 0
        self.finished = False
        self._ready: queue.Queue[VideoClip | Exception | None] = queue.Queue(_AHEAD)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(clips,), daemon=True)
        self._thread.start()

    def take(self, least: int = 0) -> Iterator[VideoClip]:
        """Clips until `least` have been taken in all, and those that are ready by then.

        Raises what went wrong in reading.
        """
        while not self.finished and (self.taken < least or not self._ready.empty()):
            clip = self._ready.get()
            if isinstance(clip, Exception):
                raise clip
            if clip is None:
                self.finished = True
                return
            self.taken += 1
            yield clip

    def close(self) -> None:
        """Stop reading."""
        self._closing.set()
        self._thread.join()

    def _fill(self, clips: Iterator[VideoClip]) -> None:
        try:
            for clip in clips:
                if not self._put(clip):
                    return
            self._put(None)
        except Exception as error:  # raised in the thread that asks for clips
            self._put(error)

    def _put(self, clip: VideoClip | Exception | None) -> bool:
        while not self._closing.is_set():
            try:
                self._ready.put(clip, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
