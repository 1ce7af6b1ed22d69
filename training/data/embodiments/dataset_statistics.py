# SPDX-License-Identifier: Apache-2.0
"""Statistics of a LeRobot dataset, written into an embodiment: normalization, ranges, sketches.

They are of the rows that the model sees: rotations as rot6d, poses as deltas, relative joints from
the state where a chunk begins.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ....model.embodiment import JOINTS, Embodiment
from ....model.embodiment.observed import Observed, observe
from ....model.embodiment.plausibility import check_gripper, check_states
from ....model.embodiment.spec import RAW, Normalization
from ....model.embodiment.units import to_si
from ..episodes import Episode
from ..lerobot.metadata import read_info
from ..lerobot_reader import (
    Layout,
    check_dataset,
    make_layout,
    read_episodes,
    read_numbers,
)
from .dataset_columns import dataset_columns

KINDS = ("quantile", "mean_std", "min_max", "none")
LOOKED_AT = 4  # episodes whose pictures are decoded
LEAST = 0.01  # of rad, m or a share: what moves less is not blown up


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """What a dataset showed."""

    embodiment: Embodiment  # with its statistics
    episodes: int
    frames: int
    still: tuple[str, ...]  # columns of the state that hardly move


def measure(
    dataset: str | Path, embodiment: Embodiment, layout: Layout | None = None, kind: str = ""
) -> Measured:
    """The embodiment with the statistics of a dataset.

    kind: one of `KINDS`; "": as the embodiment has it, else quantile. ValueError if the dataset
    does not fit, or `kind` is none of these.
    """
    kind = kind or (
        embodiment.normalization.kind if embodiment.normalization != RAW else "quantile"
    )
    if kind not in KINDS:
        raise ValueError(f"normalization: expected one of {list(KINDS)}, got {kind!r}")
    layout = layout or make_layout(embodiment, {})
    raw = dataclasses.replace(embodiment, normalization=RAW, state_normalization=RAW, observed=None)
    rows, states, frames = [], [], 0
    blind = dataclasses.replace(layout, cameras={})
    info = read_info(Path(dataset))
    for episode in read_episodes(dataset, raw, blind, whole=True, info=info):
        states.append(episode.states)
        rows += [*_windows(episode, raw)]
        frames += len(episode)
    if not rows:
        raise ValueError(f"{dataset}: expected episodes, got none")
    everything, all_states = np.concatenate(rows), np.concatenate(states)
    found = dataclasses.replace(
        embodiment, normalization=normalize(everything, kind, raw.row_grippers, raw.gripper_values)
    )
    if embodiment.kind == JOINTS and embodiment.state:
        inside = np.stack([raw.encode_state(state) for state in all_states])
        grippers = np.array([column.gripper for column in embodiment.state])
        own = normalize(inside, kind, grippers, raw.gripper_values)
        found = dataclasses.replace(found, state_normalization=own)
    if embodiment.state:
        found = dataclasses.replace(found, observed=_observed(dataset, info, raw, layout, states))
    spans = np.ptp(all_states, axis=0)
    still = [c.name for c, span in zip(embodiment.state, spans, strict=True) if span < LEAST]
    return Measured(found, len(states), frames, tuple(still))


def check_numbers(dataset: Path, embodiment: Embodiment, layout: Layout) -> str:
    """Whether a dataset fits an embodiment, all its numbers too; ValueError has both sides."""
    info = read_info(dataset)
    check_dataset(dataset, info, embodiment, layout)
    counts = []
    for names, columns in ((layout.state, embodiment.state), (layout.action, embodiment.action)):
        if not names:
            continue
        units = layout.units_of(columns, embodiment.state)
        said = dataset_columns(info["features"], names, columns, units, layout.gripper)
        raw = read_numbers(dataset, info, names)
        if not np.isfinite(raw).all():
            raise ValueError(f"{dataset}: expected finite numbers in {[*names]}")
        try:
            if embodiment.state:  # a car, which has none, may be anywhere
                check_states(to_si(raw, said), columns)
            for column, low, high in zip(said, raw.min(axis=0), raw.max(axis=0), strict=True):
                for value in (low, high) if column.gripper else ():
                    check_gripper(column.name, float(value), column.opened, column.closed)
        except ValueError as error:
            raise ValueError(f"{dataset}: {error}") from None
        counts.append(len(raw))
    return f"dataset {dataset}: agrees, {max(counts)} frames at {info['fps']:g} Hz"


def normalize(
    rows: np.ndarray, kind: str, grippers: np.ndarray, ends: tuple[float, float]
) -> Normalization:
    """The normalization of raw rows [N, D].

    grippers: which numbers of a row are grippers, bool [D]; they span the whole way between
    `ends`, what they say when open and closed.
    """
    if kind == "none":
        return RAW
    if kind == "mean_std":
        low, high = rows.mean(axis=0), np.maximum(rows.std(axis=0), LEAST)
    else:
        shares = (0.01, 0.99) if kind == "quantile" else (0.0, 1.0)
        low, high = np.quantile(rows, shares, axis=0)
        middle, half = (low + high) / 2, np.maximum((high - low) / 2, LEAST / 2)
        low, high = middle - half, middle + half
    least, most = min(ends), max(ends)
    whole = ((least + most) / 2, (most - least) / 2) if kind == "mean_std" else (least, most)
    low[grippers], high[grippers] = whole
    return Normalization(kind, _rounded(low), _rounded(high))


def _windows(episode: Episode, raw: Embodiment) -> Iterator[np.ndarray]:
    """The model's rows of chunks that begin all over an episode."""
    for begin in range(0, len(episode), max(1, raw.horizon // 8)):
        values = episode.actions[begin : begin + raw.horizon]
        yield raw.encode_actions(values, episode.states[begin])


def _observed(
    dataset: str | Path,
    info: dict[str, Any],
    raw: Embodiment,
    layout: Layout,
    states: list[np.ndarray],
) -> Observed:
    read = read_episodes(dataset, raw, layout, whole=True, info=info)
    shown = [*itertools.islice(read, LOOKED_AT)]
    pictures = {
        view: [picture for episode in shown for picture in episode.views[view][::8]]
        for view in raw.views
    }
    return observe(states, pictures)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
