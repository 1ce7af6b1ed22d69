# SPDX-License-Identifier: Apache-2.0
"""Clips that dynamics are asked about: of videos, of a LeRobot dataset, or of a recording.

What a clip does not know, states or actions, is NaN.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.agreement import contradiction
from ...model.embodiment.plausibility import check_states
from ...model.embodiment.spec import TWISTS
from ...model.embodiment.units import to_si
from ...model.interface import NS
from ...robot.images import decode_bytes
from ...robot.recorded_robot import read_robot
from ..data.clip_source import layout_of
from ..data.episodes import Episode
from ..data.lerobot.metadata import read_info
from ..data.lerobot_reader import read_episodes
from ..data.rosbag_reader import read_recording
from ..data.rosbag_to_lerobot import ConvertOptions, command_sources, cut, make_episode
from ..data.video_io import at_rate, fit
from ..options import DataOptions

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class SourceClip:
    """One clip at the embodiment's rate; stamps: of its frames, ns [T], on the source's clock."""

    name: str
    episode: Episode
    stamps: np.ndarray
    robot: str  # what a dataset of it calls the robot

    @property
    def knows_states(self) -> bool:
        """Whether the state of every frame is known, or there is none to know."""
        return bool(np.isfinite(self.episode.states).all())

    @property
    def knows_actions(self) -> bool:
        return bool(np.isfinite(self.episode.actions).all())

    def frame(self, number: int = 0) -> SourceClip:
        """One of its frames alone; ValueError if it has none of this number."""
        episode = self.episode
        if not 0 <= number < len(episode):
            raise ValueError(
                f"{self.name}: expected a frame of 0 to {len(episode) - 1}, got {number}"
            )
        here = slice(number, number + 1)
        alone = dataclasses.replace(
            episode,
            views={view: frames[here] for view, frames in episode.views.items()},
            **{name: getattr(episode, name)[here] for name in ("states", "actions", "truth")},
        )
        return dataclasses.replace(self, episode=alone, stamps=self.stamps[here])

    def canvases(self, embodiment: Embodiment, begin: int, end: int) -> np.ndarray:
        """Frames `begin` to `end` as the model sees them, uint8 [end - begin, H, W, 3]."""
        views = self.episode.views
        return np.stack(
            [
                embodiment.compose({view: frames[step] for view, frames in views.items()})
                for step in range(begin, end)
            ]
        )


def state_at(clip: SourceClip, embodiment: Embodiment, values: np.ndarray, row: int) -> np.ndarray:
    """The state before `row`, float32 [D]: as the clip knows it, else where the row before led.

    values: float32 [row or more, D], the commands of the rows before. ValueError if neither says.
    """
    if row == 0 or (clip.knows_states and row < len(clip.episode)):
        return clip.episode.states[row]
    if embodiment.kind == TWISTS and embodiment.state:
        raise ValueError(
            f"{clip.name}: expected the states of all frames: where {embodiment.kind} lead cannot "
            "be told"
        )
    return _led(clip, embodiment, values[row - 1])


def states_of(clip: SourceClip, embodiment: Embodiment, values: np.ndarray) -> np.ndarray:
    """The states of all frames, float32 [T, D]: known, or where commands [T - 1, D] lead.

    ValueError if neither says.
    """
    states = clip.episode.states
    return (
        states
        if clip.knows_states
        else np.concatenate([states[:1], _led(clip, embodiment, values)])
    )


def _led(clip: SourceClip, embodiment: Embodiment, commands: np.ndarray) -> np.ndarray:
    try:
        return embodiment.led_states(commands).astype(np.float32)
    except ValueError as error:
        raise ValueError(f"{clip.name}: {error}") from None


def check_start(clip: SourceClip, embodiment: Embodiment) -> None:
    """ValueError if the state of the first frame is needed and unknown."""
    if not np.isfinite(clip.episode.states[0]).all():
        names = [f"{column.name} [{column.unit}]" for column in embodiment.state]
        raise ValueError(
            f"{clip.name}: no states; say with --state where the robot is in the first frame: "
            f"{len(names)} numbers, {', '.join(names)}"
        )


def parse_state(text: str, embodiment: Embodiment) -> np.ndarray:
    """Numbers with commas, in the embodiment's units, as a state float32 [D]; ValueError."""
    columns = embodiment.state
    names = [f"{column.name} [{column.unit}]" for column in columns]
    try:
        numbers = np.array([float(word) for word in text.split(",")], np.float64)
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != len(columns) or not np.isfinite(numbers).all():
        raise ValueError(f"--state: expected {len(names)} finite numbers {names}, got {text!r}")
    state = to_si(numbers, columns).astype(np.float32)
    try:
        check_states(state, columns)
    except ValueError as error:
        raise ValueError(f"--state: {error}") from None
    return state


def by_view(words: Sequence[str], views: Sequence[str], option: str) -> dict[str, Path]:
    """VIEW=FILE words, or one bare FILE for a single view, as one file for each view."""
    if len(words) == 1 and "=" not in words[0] and len(views) == 1:
        return {views[0]: Path(words[0])}
    given = dict(word.split("=", 1) for word in words if "=" in word)
    if set(given) != set(views) or len(given) != len(words):
        raise ValueError(f"{option}: expected one VIEW=FILE for each of {list(views)}, got {words}")
    return {view: Path(given[view]) for view in views}


def of_videos(
    files: Mapping[str, Path],
    embodiment: Embodiment,
    instruction: str,
    state: np.ndarray | None = None,
    height: int = 360,
    tell: Tell = print,
) -> SourceClip:
    """A file for each view, all begun at the same moment; state: float32 [D] of the first frame.

    A faster video is resampled: its newest picture. ValueError for a slower one.
    """
    views = {view: at_rate(file, embodiment.fps, height) for view, file in files.items()}
    lengths = {view: len(frames) for view, frames in views.items()}
    count = min(lengths.values())
    if count < max(lengths.values()):
        tell(f"videos of different lengths: the first {count} frames of each, of {lengths}")
    views = {view: frames[:count] for view, frames in views.items()}
    name = ", ".join(str(file) for file in files.values())
    return _bare(name, views, embodiment, instruction, state)


def of_pictures(
    files: Mapping[str, Path],
    embodiment: Embodiment,
    instruction: str,
    state: np.ndarray | None = None,
) -> SourceClip:
    """A clip of one frame."""
    views = {}
    for view, file in files.items():
        picture = decode_bytes(file.read_bytes(), str(file))
        views[view] = picture[None]
    name = ", ".join(str(file) for file in files.values())
    return _bare(name, views, embodiment, instruction, state)


def of_dataset(
    place: str,
    embodiment: Embodiment,
    data: DataOptions,
    instruction: str = "",
    state: np.ndarray | None = None,
) -> Iterator[SourceClip]:
    """Episodes of a LeRobot dataset: FOLDER, or FOLDER:NUMBER for one of them.

    data: how to read it; instruction: instead of its tasks; state: float32 [D] of each first frame,
    where the dataset has no states.
    """
    folder, number = split_place(place)
    if instruction:
        data = dataclasses.replace(data, instruction=instruction)
    info = read_info(folder)
    layout = layout_of(info, embodiment, data)
    robot = str(info.get("robot_type") or embodiment.name)
    numbers = None if number is None else (number,)
    found = read_episodes(
        folder, embodiment, layout, partial=True, numbers=numbers, whole=True, info=info
    )
    for count, read in enumerate(found):
        words = (instruction,) if instruction else read.instructions
        episode = _begun(dataclasses.replace(read, instructions=words), state)
        name = f"{folder}:{count if number is None else number}"
        stamps = np.arange(len(episode), dtype=np.int64) * embodiment.step
        yield SourceClip(name, episode, stamps, robot)


def of_bag(
    place: str,
    robot: str,
    embodiment: Embodiment,
    instruction: str = "",
    height: int = 360,
    tell: Tell = print,
) -> Iterator[SourceClip]:
    """The episodes that `cosmos3 convert` finds in a recording: BAG, or BAG:NUMBER for one.

    robot: robot file by name or path, of the same embodiment.
    """
    bag, number = split_place(place)
    about = read_robot(robot)
    if why := contradiction(embodiment, about.embodiment):
        raise ValueError(
            f"robot file {robot} is for {about.embodiment.name}, not {embodiment.name}: {why}"
        )
    options = ConvertOptions(instruction=instruction, height=height)
    recording = read_recording(bag, about, tell)
    sources = command_sources(recording, about, options)
    pieces = cut(recording, about, options, tell)
    if number is not None and number >= len(pieces):
        raise ValueError(f"{bag}: expected an episode of 0 to {len(pieces) - 1}, got {number}")
    for count, piece in enumerate(pieces):
        if number in (None, count):
            episode, _ = make_episode(recording, piece, sources, about, options)
            yield SourceClip(f"{bag}:{count}", episode, piece.times.astype(np.int64), about.name)


def split_place(place: str) -> tuple[Path, int | None]:
    """FOLDER:NUMBER in its parts; without a number None."""
    folder, _, number = place.rpartition(":")
    if folder and number.isdecimal():
        return Path(folder), int(number)
    return Path(place), None


def _bare(
    name: str,
    views: Mapping[str, np.ndarray],
    embodiment: Embodiment,
    instruction: str,
    state: np.ndarray | None,
) -> SourceClip:
    """A clip of which only pictures are known, and the state of the first frame."""
    if not instruction.strip():
        raise ValueError("--instruction: expected what is done in the video, got nothing")
    count = len(next(iter(views.values())))
    episode = Episode(
        views={
            view: np.stack([fit(frame, 0) for frame in frames]) for view, frames in views.items()
        },
        states=np.full((count, len(embodiment.state)), np.nan, np.float32),
        actions=np.full((count, len(embodiment.action)), np.nan, np.float32),
        instructions=(instruction.strip(),),
        truth=np.zeros((count, 0), np.float32),
    )
    stamps = np.round(np.arange(count) * (NS / embodiment.fps)).astype(np.int64)
    return SourceClip(name, _begun(episode, state), stamps, embodiment.name)


def _begun(episode: Episode, state: np.ndarray | None) -> Episode:
    """With the state of the first frame, unless the states are known."""
    if state is None or np.isfinite(episode.states).all():
        return episode
    states = episode.states.copy()
    states[0] = state
    return dataclasses.replace(episode, states=states)
