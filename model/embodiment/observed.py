# SPDX-License-Identifier: Apache-2.0
"""What the demonstrations of an embodiment show: by it a first observation is judged. numpy only.

`cosmos3 stats` and trainings on a dataset write it into the embodiment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from .canvas import resize

SKETCH = (6, 8)  # height and width of the gray picture that is kept of a view


@dataclasses.dataclass(frozen=True, slots=True)
class Observed:
    """Of each state column, in rad, m and 0 .. 1 of grippers, and of each view.

    low, high: the range; first_low, first_high: of the first frames of episodes; sketches: (view,
    mean picture, gray 0 .. 255, row by row [6 x 8]).
    """

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    first_low: tuple[float, ...] = ()
    first_high: tuple[float, ...] = ()
    sketches: tuple[tuple[str, tuple[int, ...]], ...] = ()


def sketch(picture: np.ndarray) -> np.ndarray:
    """A picture uint8 [H, W, 3] as `SKETCH` gray values, float32 [48]."""
    small = resize(picture.astype(np.float32), SKETCH, cubic=False, antialias=True)
    return np.asarray(small.mean(axis=-1), np.float32).ravel()


def observe(states: Iterable[np.ndarray], pictures: Mapping[str, Iterable[np.ndarray]]) -> Observed:
    """What episodes show.

    states: of each episode [T, D]; pictures: of each view, some, uint8 [H, W, 3].
    """
    episodes = [state for state in states if len(state)]
    everything = np.concatenate(episodes)
    first = np.stack([state[0] for state in episodes])
    sketches = {
        view: np.mean([sketch(picture) for picture in shown], axis=0)
        for view, shown in pictures.items()
    }
    return Observed(
        _numbers(everything.min(axis=0)),
        _numbers(everything.max(axis=0)),
        _numbers(first.min(axis=0)),
        _numbers(first.max(axis=0)),
        tuple((view, tuple(np.rint(mean).astype(int).tolist())) for view, mean in sketches.items()),
    )


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 4) + 0.0 for value in values)  # no -0.0
