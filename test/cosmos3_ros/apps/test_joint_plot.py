# SPDX-License-Identifier: Apache-2.0
"""The plot of the joints: ranges in which noise is none, and every episode."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos3_ros.apps.joint_plot import LEAST, Track, limits, plot_joints
from cosmos3_ros.model.embodiment.units import Column

NOISE = 0.0276911 + 1e-9 * np.sin(np.arange(50.0))


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (Column("a", "rad"), NOISE, (0.0276911 - LEAST / 2, 0.0276911 + LEAST / 2)),
        (Column("a", "deg"), np.full(3, 90.0), (90 - 1.4324, 90 + 1.4324)),
        (Column("a", "mm"), np.full(3, 90.0), (65.0, 115.0)),
        (Column("a", "rad"), np.array([0.0, 1.0, np.nan]), (-0.05, 1.05)),
        (Column("g", "rad", gripper=True, closed=0.8), np.full(3, 0.002), (-0.04, 0.84)),
        (Column("g", "m", gripper=True, opened=0.04, closed=0.0), np.zeros(3), (-0.002, 0.042)),
        (Column("a", "rad"), np.zeros(0), (0.0, 1.0)),
    ],
)
def test_a_still_joint_is_a_flat_line(
    column: Column, values: np.ndarray, expected: tuple[float, float]
) -> None:
    assert limits(column, [values]) == pytest.approx(expected, abs=1e-4)


def test_every_episode_is_drawn_and_one_without_commands_too(tmp_path: Path) -> None:
    times = np.linspace(0.0, 4.0, 60)
    moving = np.stack([times, np.sin(times), 0.8 * (times > 2)], axis=1)
    joints = {"a": Column("a", "rad"), "g": Column("g", "rad", gripper=True, closed=0.8)}
    ahead = moving + np.array([0.0, 0.3, 0.1])
    tracks = [
        Track("lift, seed 0: solved", ahead, moving, [0.5, 1.5]),
        Track("lift, seed 1: not solved", np.zeros((0, 3)), moving, []),
    ]

    def drawn(some: list[Track]) -> np.ndarray:
        plot_joints(tmp_path / "joints.png", joints, some)
        picture = cv2.imread(str(tmp_path / "joints.png"))
        assert picture is not None
        blue = picture[..., 0].astype(int) - picture[..., 2] > 80
        return np.flatnonzero(blue.any(0)) / picture.shape[1]

    places = drawn(tracks)
    assert places[0] < 0.15, "the first episode begins at the left"
    gap = np.diff(places).max()
    assert 0.02 < gap < 0.12, "between them is a pause"
    assert places[-1] > 0.9, "the second ends at the right"
    assert drawn(tracks[1:]).size, "no command at all"
