# SPDX-License-Identifier: Apache-2.0
"""One demonstration, and the form in which the network learns from it. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ...model.embodiment import Embodiment


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """One demonstration at the embodiment's rate: row t of `actions` was commanded at frame t and led to frame t + 1.

    views: name -> uint8 [T, H, W, 3], or only the frames `looks` (int64 [K], rising) of it; states,
    actions: float32 [T, D], columns and units of the embodiment; instructions: ways to ask for it;
    truth: float32 [T, GroundTruth.WIDTH], NaN where unknown; task, seed: where it came from.
    """

    views: Mapping[str, np.ndarray]
    states: np.ndarray
    actions: np.ndarray
    instructions: tuple[str, ...]
    truth: np.ndarray
    task: str = ""
    seed: int = -1
    looks: np.ndarray | None = None

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
    """What training needs of one episode: its pictures, and windows of one chunk that begin at the frames `starts`.

    frames: uint8 [T, H, W, 3], the canvas; rows: float32 [windows, state row + horizon, width], as
    the network sees them; truth: float32 [windows, GroundTruth.WIDTH]. whole: else `frames` are only those of
    `starts`: what will be seen is not known.
    """

    frames: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    truth: np.ndarray
    instructions: tuple[str, ...]
    whole: bool = True

    def window(self, frames: int) -> np.ndarray:
        """Which frames each window shows, int64 [windows, frames].

        The last one stays when the episode is over.

        If the clip is not whole, that is one for each: [windows, 1].
        """
        if not self.whole:
            return np.arange(len(self.starts))[:, None]
        return np.minimum(self.starts[:, None] + np.arange(frames), len(self.frames) - 1)


def window_begins(seed: int, stride: int, opening: int) -> Callable[[int], bool]:
    """Tells whether a window begins at a frame, see make_clip; which ones depends on the seed."""
    return lambda step: (
        step % stride == max(seed, 0) % stride or (step < 2 * opening and step % 2 == 0)
    )


def make_clip(episode: Episode, body: Embodiment, stride: int = 1, opening: int = 0) -> Clip:
    """An episode for training: a window every `stride` frames, and `opening` more, two apart, at its beginning, where
    only the pictures tell where to go. After its end the last action is held. Of an episode that
    was looked at now and then, each look begins a window.
    """
    begins = window_begins(episode.seed, stride, opening)
    looks = episode.looks
    starts = (
        np.array([step for step in range(len(episode)) if begins(step)]) if looks is None else looks
    )
    return _clip(episode, body, starts, looks is None)


def make_span(episode: Episode, body: Embodiment, span: range, stride: int = 1) -> Clip:
    """Of an episode of which the frames of a span were seen, or those up to its end: the windows every `stride` frames
    of which all is known. ValueError if some of those frames were not looked at.
    """
    first, end = span.start, min(span.stop, len(episode))
    seen = part(episode, range(first, end))
    if seen.looks is None or len(seen.looks) < end - first:
        raise ValueError(f"make_span: expected looks at {first} to {end - 1}, got {episode.looks}")
    latest = end if end == len(episode) else end - body.horizon
    return _clip(seen, body, np.arange(first, latest, stride), True, first)


def part(episode: Episode, steps: Iterable[int]) -> Episode:
    """The same episode, looked at in these steps only, of those in which it was."""
    looks = np.arange(len(episode)) if episode.looks is None else episode.looks
    chosen = np.isin(looks, list(steps))
    views = {name: frames[chosen] for name, frames in episode.views.items()}
    return dataclasses.replace(episode, views=views, looks=looks[chosen])


def _clip(
    episode: Episode, body: Embodiment, starts: np.ndarray, whole: bool, first: int = 0
) -> Clip:
    """All that the episode shows, which begins with frame `first`, and the windows that begin at `starts`."""
    views = zip(*(episode.views[name] for name in body.views), strict=True)
    frames = np.stack(
        [body.compose(dict(zip(body.views, images, strict=True))) for images in views]
    )
    rows = [window_rows(episode, body, int(start)) for start in starts]
    told = np.stack(rows) if rows else np.zeros((0, 1, 1))
    return Clip(frames, starts - first, told, episode.truth[starts], episode.instructions, whole)


def window_rows(episode: Episode, body: Embodiment, start: int) -> np.ndarray:
    """The state at frame `start` and the chunk that follows it, as the network sees them."""
    values = episode.actions[np.minimum(start + np.arange(body.horizon), len(episode) - 1)]
    state = episode.states[start]
    rows = body.encode_actions(values, state)
    return np.concatenate([body.encode_state(state)[None], rows]) if body.state_row else rows
