# SPDX-License-Identifier: Apache-2.0
"""A plot of the joints of a run: commanded and measured, one episode after another."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model.embodiment.units import ANGLE, LENGTH, Column

LEAST = 0.05  # rad or m that an axis shows at least: a still arm is a flat line
PAUSE = 0.5  # s between two episodes
ROW, SECOND = 1.5, 0.35  # inches of a joint, and of a second
NARROW, WIDE = 12.0, 60.0  # inches between which the figure's width stays


@dataclasses.dataclass(frozen=True, slots=True)
class Track:
    """The joints of one episode: time (s from its begin), then each joint, float [T, 1 + D]."""

    title: str
    commanded: np.ndarray
    measured: np.ndarray
    chunks: Sequence[float]  # when one came, s

    @property
    def seconds(self) -> float:
        """How long it is."""
        ends = [rows[-1, 0] for rows in (self.commanded, self.measured) if len(rows)]
        return max([*ends, *self.chunks, 1.0])


def plot_joints(path: pathlib.Path, joints: Mapping[str, Column], tracks: Sequence[Track]) -> None:
    """Write a PNG: a row for each of the D joints, the episodes of `tracks` from left to right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    total = sum(track.seconds + PAUSE for track in tracks)
    size = (float(np.clip(SECOND * total, NARROW, WIDE)), ROW * len(joints) + 0.6)
    figure, axes = plt.subplots(len(joints), 1, figsize=size, sharex=True, squeeze=False)
    begin = 0.0
    for track in tracks:
        for k, axis in enumerate(axes[:, 0]):
            _draw(axis, track, begin, k)
        where = (begin, 1.02)
        style: Any = {"fontsize": 8, "va": "bottom", "transform": axes[0, 0].get_xaxis_transform()}
        axes[0, 0].text(*where, track.title, clip_on=False, **style)
        begin += track.seconds + PAUSE
    for k, (axis, (name, column)) in enumerate(zip(axes[:, 0], joints.items(), strict=True)):
        axis.set_ylim(*limits(column, [_column(track, k) for track in tracks]))
        says = f"\n{column.opened:g} open, {column.closed:g} closed" if column.gripper else ""
        axis.set_ylabel(f"{name}{says or f' [{column.unit}]'}", fontsize=8)
        axis.ticklabel_format(useOffset=False)
        axis.tick_params(labelsize=8)
    axes[0, 0].legend(*_once(axes[0, 0]), fontsize=8, loc="upper right", ncols=2)
    axes[-1, 0].set_xlim(0.0, total - PAUSE)
    axes[-1, 0].set_xlabel("time [s]; gray: a new chunk; black: a new episode", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def limits(column: Column, values: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range of a joint's axis: of a gripper from open to closed, else of what it did.

    Never less than `LEAST`, in the column's unit; values that are not finite do not count.
    """
    found = [column.opened, column.closed] if column.gripper else []
    found += [float(v) for rows in values for v in rows[np.isfinite(rows)]]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    known = column.quantity in (ANGLE, LENGTH) and not column.gripper
    least = LEAST * abs(column.span) if known else 1e-3
    spare = max(0.05 * (high - low), (least - (high - low)) / 2)
    return low - spare, high + spare


def _column(track: Track, k: int) -> np.ndarray:
    both = [rows[:, 1 + k] for rows in (track.commanded, track.measured) if len(rows)]
    return np.concatenate(both) if both else np.zeros(0)


def _draw(axis: Any, track: Track, begin: float, k: int) -> None:
    for time in track.chunks:
        axis.axvline(begin + time, color="0.85", lw=0.6, zorder=0)
    if begin:
        axis.axvline(begin - PAUSE / 2, color="0.2", lw=1.0)
    for rows, width, color, label in (
        (track.measured, 1.6, "tab:blue", "measured"),
        (track.commanded, 1.0, "tab:orange", "commanded"),
    ):
        if len(rows):
            axis.plot(begin + rows[:, 0], rows[:, 1 + k], lw=width, color=color, label=label)


def _once(axis: Any) -> tuple[list[Any], list[str]]:
    """Each line of the legend once."""
    lines, labels = axis.get_legend_handles_labels()
    found = {label: line for line, label in zip(lines, labels, strict=True)}
    return [*found.values()], [*found]
