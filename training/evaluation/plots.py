# SPDX-License-Identifier: Apache-2.0
"""Plots for a report: what a policy saw, its predicted frames beside real ones, success."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def write_strip(file: Path, pictures: Sequence[tuple[float, np.ndarray]], title: str) -> None:
    """Pictures (uint8 [H, W, 3]) side by side as a png, each with its time in seconds.

    The title below.
    """
    strip = np.concatenate(
        [_labeled(picture, f"{seconds:.1f} s") for seconds, picture in pictures], axis=1
    )
    band = np.zeros((16, strip.shape[1], 3), np.uint8)
    _write(file, np.concatenate([strip, _labeled(band, title)]))


def write_future(file: Path, pictures: np.ndarray, fps: float) -> None:
    """Some real frames above the predicted ones. pictures: uint8 [2, T, H, W, 3]."""
    frame_indices = np.linspace(0, pictures.shape[1] - 1, 5).round().astype(int)
    rows = []
    for name, frames in zip(("real", "imagined"), pictures, strict=True):
        row = [
            _labeled(frames[frame_index], f"{name}, {frame_index / fps:.2f} s")
            for frame_index in frame_indices
        ]
        rows.append(np.concatenate(row, axis=1))
    _write(file, np.concatenate(rows))


def plot_success(file: Path, runs: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Success with its interval. runs: what it is -> task -> row of `closed_loop.summarize`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(task for summary in runs.values() for task in summary))
    figure, axis = plt.subplots(figsize=(8, 3))
    width = 0.8 / len(runs)
    for number, (name, summary) in enumerate(runs.items()):
        rows = [summary[task] for task in tasks if task in summary]
        centers = [
            tasks.index(task) + (number - (len(runs) - 1) / 2) * width
            for task in tasks
            if task in summary
        ]
        rates = np.array([row["rate"] for row in rows])
        reach = np.array(
            [
                [row["rate"] - row["low"] for row in rows],
                [row["high"] - row["rate"] for row in rows],
            ]
        )
        axis.bar(
            centers,
            rates,
            width,
            yerr=np.maximum(reach, 0),
            capsize=2,
            label=name,
            error_kw={"lw": 0.8},
        )
    axis.set_xticks(range(len(tasks)), tasks)
    axis.set_ylim(0, 1)
    axis.set_ylabel("solved, 95 % interval")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _labeled(picture: np.ndarray, text: str) -> np.ndarray:
    """A copy with white text on black in its upper left corner."""
    font, picture = cv2.FONT_HERSHEY_SIMPLEX, picture.copy()
    width = cv2.getTextSize(text, font, 0.4, 1)[0][0]
    picture[:16, : width + 8] = 0
    cv2.putText(picture, text, (4, 12), font, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def _write(file: Path, picture: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), picture[..., ::-1]):
        raise OSError(f"{file}: could not be written")
