# SPDX-License-Identifier: Apache-2.0
"""One demonstration, and the form in which the network learns from it. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.canvas import Canvas


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """One demonstration at the embodiment's rate.

    Row t of `actions` was commanded at frame t and led to frame t + 1.
    """

    views: Mapping[str, np.ndarray]  # view -> uint8 [T, H, W, 3], or [K, H, W, 3] with `looks`
    states: np.ndarray  # float32 [T, D], columns and units of the embodiment
    actions: np.ndarray  # float32 [T, D] of the action's columns
    instructions: tuple[str, ...]  # wordings of the task
    truth: np.ndarray  # float32 [T, K] where things are, NaN where unknown; K is its source's
    task: str = ""  # where it came from
    seed: int = -1
    looks: np.ndarray | None = None  # int64 [K], rising: the frames in `views`; None: all frames
    # How many frames, from the first on, are of the task; those behind show how it went on, and no
    # window begins there. None: all.
    own: int | None = None

    def __post_init__(self) -> None:
        lengths = {
            "states": len(self.states),
            "actions": len(self.actions),
            "truth": len(self.truth),
        }
        missing = 0 if self.looks is None else len(self) - len(self.looks)
        lengths |= {
            f"views[{name!r}]": len(frames) + missing for name, frames in self.views.items()
        }
        if len(set(lengths.values())) != 1 or not len(self.states):
            raise ValueError(f"Episode: expected equal lengths of at least 1, got {lengths}")
        if not self.instructions or not all(text.strip() for text in self.instructions):
            raise ValueError(
                f"Episode.instructions: expected at least one sentence, got {self.instructions}"
            )

    def __len__(self) -> int:
        return len(self.states)


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """What training needs of one episode: its images, and windows of one chunk each."""

    frames: np.ndarray  # uint8 [T, H, W, 3], composed on the canvas
    starts: np.ndarray  # int64 [windows], the frame that each window begins with
    rows: np.ndarray  # float32 [windows, state row + horizon, channels], as the network sees them
    truth: np.ndarray  # float32 [windows, K]
    instructions: tuple[str, ...]
    whole: bool = True  # False: `frames` are those of `starts` only, later ones are not known

    def window(self, frames: int) -> np.ndarray:
        """Which frames each window shows, int64 [windows, frames]; [windows, 1] if not whole.

        After the end of the episode the last frame is repeated.
        """
        if not self.whole:
            return np.arange(len(self.starts))[:, None]
        return np.minimum(self.starts[:, None] + np.arange(frames), len(self.frames) - 1)


def resampled(
    states: np.ndarray, actions: np.ndarray, ratio: float, grippers: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames, states and actions at a rate lower by `ratio`.

    Frames are the newest ones; states and the targets of a step later are interpolated, commands to
    grippers held.
    """
    if abs(ratio - 1) < 0.01:
        return np.arange(len(states)), states, actions
    # in frames of the recording
    times = np.arange(int((len(states) - 1) / ratio + 1e-6) + 1) * ratio
    # action k is where frame k + 1 is to be
    rows, later = np.arange(len(states)), times + ratio - 1
    columns = [np.interp(times, rows, column) for column in states.T]
    held = np.minimum(np.floor(later + 1e-6).astype(int), len(rows) - 1)
    targets = [
        column[held] if gripper else np.interp(later, rows, column)
        for column, gripper in zip(actions.T, grippers, strict=True)
    ]
    frames = np.floor(times + 1e-6).astype(int)
    return (
        frames,
        np.stack(columns, axis=1).astype(np.float32),
        np.stack(targets, axis=1).astype(np.float32),
    )


def by_task(episode: Episode, said: Sequence[tuple[str, ...]], horizon: int) -> Iterator[Episode]:
    """An episode for each run of frames that have the same task.

    said: wordings of each frame; horizon: frames that each keeps of what follows its own.
    """
    firsts = [0, *(step for step in range(1, len(said)) if said[step] != said[step - 1])]
    if len(firsts) == 1:
        yield dataclasses.replace(episode, instructions=said[0])
        return
    for first, end in zip(firsts, [*firsts[1:], len(said)], strict=True):
        seen = slice(first, end + horizon)
        yield dataclasses.replace(
            episode,
            views={view: frames[seen] for view, frames in episode.views.items()},
            states=episode.states[seen],
            actions=episode.actions[seen],
            truth=episode.truth[seen],
            instructions=said[first],
            own=end - first,
        )


def window_begins(seed: int, stride: int, opening: int) -> Callable[[int], bool]:
    """A function that tells whether a window begins at a frame, see make_clip.

    The seed shifts the windows.
    """
    return lambda step: (
        step % stride == max(seed, 0) % stride or (step < 2 * opening and step % 2 == 0)
    )


def make_clip(episode: Episode, embodiment: Embodiment, stride: int = 1, opening: int = 0) -> Clip:
    """The clip of an episode, with a window every `stride` frames.

    `opening` further windows, two frames apart, lie at its beginning, where only the images tell
    where to go. After the episode's end the last action is held. If not all frames are in the
    episode (`looks`), each of its frames begins a window instead.
    """
    begins = window_begins(episode.seed, stride, opening)
    looks = episode.looks
    own = range(len(episode) if episode.own is None else episode.own)
    starts = np.array([step for step in own if begins(step)], int) if looks is None else looks
    return _clip(episode, embodiment, starts, looks is None)


def make_span(episode: Episode, embodiment: Embodiment, span: range, stride: int = 1) -> Clip:
    """The clip of a span of an episode: a window every `stride` frames, as long as it is within.

    A span may reach beyond the end of the episode. Raises ValueError if frames of the span are not
    in the episode.
    """
    first, end = span.start, min(span.stop, len(episode))
    seen = part(episode, range(first, end))
    if seen.looks is None or len(seen.looks) < end - first:
        raise ValueError(f"make_span: expected looks at {first} to {end - 1}, got {episode.looks}")
    latest = end if end == len(episode) else end - embodiment.horizon
    return _clip(seen, embodiment, np.arange(first, latest, stride), True, first)


def part(episode: Episode, steps: Iterable[int]) -> Episode:
    """The same episode with only the frames of `steps`, as far as it has them."""
    looks = np.arange(len(episode)) if episode.looks is None else episode.looks
    chosen = np.isin(looks, list(steps))
    views = {name: frames[chosen] for name, frames in episode.views.items()}
    return dataclasses.replace(episode, views=views, looks=looks[chosen])


def _clip(
    episode: Episode, embodiment: Embodiment, starts: np.ndarray, whole: bool, first: int = 0
) -> Clip:
    """The clip of all frames of the episode, the first of which is frame number `first`."""
    views = zip(*(episode.views[name] for name in embodiment.views), strict=True)
    frames = np.stack(
        [embodiment.compose(dict(zip(embodiment.views, images, strict=True))) for images in views]
    )
    rows = [window_rows(episode, embodiment, int(start)) for start in starts]
    stacked = np.stack(rows) if rows else np.zeros((0, 1, 1))
    return Clip(frames, starts - first, stacked, episode.truth[starts], episode.instructions, whole)


def shifted(clip: Clip, canvas: Canvas, share: float, seed: Sequence[int]) -> Clip:
    """The clip as cameras a little aside would show it, for those who have few demonstrations.

    Each view moves by whole pixels, at most `share` of its sides, the same in all frames; its edges
    are repeated. Rows and places stay as they are. Random shifts as in DrQ, arXiv 2004.13649.
    """
    random, frames = np.random.default_rng(seed), clip.frames.copy()
    for area in canvas.areas:
        view = clip.frames[:, *area]
        down, right = (
            np.clip(np.arange(side) + random.integers(-most, most + 1), 0, side - 1)
            for side in view.shape[1:3]
            for most in [round(share * side)]
        )
        frames[:, *area] = view[:, down[:, None], right]
    return dataclasses.replace(clip, frames=frames)


def window_rows(episode: Episode, embodiment: Embodiment, start: int) -> np.ndarray:
    """The state at frame `start` and the chunk that follows it, as the network sees them."""
    values = episode.actions[np.minimum(start + np.arange(embodiment.horizon), len(episode) - 1)]
    state = episode.states[start]
    return embodiment.model_rows(state, values)
