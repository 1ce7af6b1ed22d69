# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics: accuracy over random paths, near singularities, and out of reach."""

from typing import Any

import numpy as np
import pytest

from cosmos3_ros.robot.kinematics.inverse import InverseKinematics

from .arms import HOME, panda, six, way

pytest.importorskip("pinocchio")
MILLIMETER, HALF_DEGREE = 1e-3, np.radians(0.5)


def solver(tool: Any) -> InverseKinematics:
    return InverseKinematics(tool, tool.lower, tool.upper)


def off(tool: Any, rows: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """How far the tool is from poses [H, 4, 4], found without the solver: m and rad [H, 2]."""
    seen = tool.poses(rows)
    turns = np.swapaxes(seen[:, :3, :3], 1, 2) @ poses[:, :3, :3]
    cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    sine = np.linalg.norm(turns - np.swapaxes(turns, 1, 2), axis=(1, 2)) / np.sqrt(8)
    distance = np.linalg.norm(seen[:, :3, 3] - poses[:, :3, 3], axis=1)
    return np.stack([distance, np.arctan2(sine, cosine)], axis=1)


@pytest.mark.parametrize("make", [panda, six])
def test_random_paths_within_the_limits_are_followed(make: Any) -> None:
    tool, rng, wrong = make(), np.random.default_rng(0), 0
    for _ in range(60):
        begin = rng.uniform(tool.lower + 0.05, tool.upper - 0.05)
        end = np.clip(
            begin + rng.uniform(-0.6, 0.6, len(begin)), tool.lower + 0.02, tool.upper - 0.02
        )
        poses = tool.poses(way(begin, end))
        path = solver(tool).path(poses, begin, 1 / 15)
        assert (path.rows >= tool.lower).all()
        assert (path.rows <= tool.upper).all()
        found = off(tool, path.rows, poses)
        assert np.allclose(found, path.short, atol=1e-6)  # never wrong without saying so
        reached = bool((found <= (MILLIMETER, HALF_DEGREE)).all())
        assert reached >= path.is_reached
        wrong += not reached
    assert wrong <= 1


@pytest.mark.parametrize(
    ("make", "joint", "value"),
    [(panda, 3, -0.08), (panda, 5, 0.0), (panda, 1, 0.0), (six, 4, 0.02), (six, 2, 1.53)],
)
def test_paths_beside_singularities_are_followed(make: Any, joint: int, value: float) -> None:
    tool, rng = make(), np.random.default_rng(2)
    for _ in range(10):
        begin = rng.uniform(tool.lower / 2, tool.upper / 2)
        begin[joint] = value
        end = np.clip(begin + rng.uniform(-0.4, 0.4, len(begin)), tool.lower, tool.upper)
        end[joint] = begin[joint]  # stays there
        poses = tool.poses(way(begin, end))
        path = solver(tool).path(poses, begin, 1 / 15)
        assert (off(tool, path.rows, poses) <= (MILLIMETER, HALF_DEGREE)).all()


def test_a_singularity_that_is_passed_turns_joints_fast_and_the_tool_stays_on_its_path() -> None:
    """The tool goes straight over the first axis, past it by 2 mm."""
    tool = panda()
    first = tool.pose(HOME)
    poses = np.tile(first, (40, 1, 1))
    poses[:, 0, 3] = np.linspace(first[0, 3], -first[0, 3], 40)
    poses[:, 1, 3] += 0.002 * np.minimum(1, np.arange(40) / 5)
    poses[:, 2, 3] += 0.2 * np.minimum(1, np.arange(40) / 5)
    path = solver(tool).path(poses, HOME, 1 / 15)
    assert path.is_reached
    steps = np.abs(np.diff(path.rows, axis=0))
    assert steps.max() > 0.3  # much faster than the arm may: the limits slow it down
    between = tool.points((path.rows[1:] + path.rows[:-1]) / 2)
    assert np.abs(between - (poses[1:, :3, 3] + poses[:-1, :3, 3]) / 2).max() < 0.02


def test_rows_between_which_the_tool_would_be_led_astray_are_refused_in_words() -> None:
    tool = six()
    ends = np.array([[-1.1, 0.3, 0.6, 0.0, 0.4, 0.0], [1.1, 0.3, 0.6, 0.0, 0.4, 0.0]])
    words = (
        r"between rows 1 and 2 a would turn by 2\.\d\d rad and the tool leave its path by 0\.\d+ m"
    )
    with pytest.raises(ValueError, match=words):
        solver(tool).path(tool.poses(ends), ends[0], 1 / 15)


def test_what_is_out_of_reach_is_approached_and_says_by_how_much() -> None:
    tool = panda()
    poses = np.tile(tool.pose(HOME), (16, 1, 1))
    poses[:, 0, 3] += np.linspace(0, 0.9, 16)
    path = solver(tool).path(poses, HOME, 1 / 15)
    found = off(tool, path.rows, poses)
    assert not path.is_reached
    assert (found[:5] < MILLIMETER).all()
    assert path.short[-1, 0] > 0.2
    assert np.allclose(found, path.short, atol=1e-6)
    assert np.abs(np.diff(path.rows, axis=0)).max() < 0.8  # it does not thrash about


def test_a_joint_without_end_goes_on_beyond_a_turn() -> None:
    tool = six("continuous")
    begin = np.array([0.0, 0.4, 0.6, 0.3, 0.5, 9.0])
    poses = tool.poses(way(begin, begin + np.array([0, 0, 0, 0, 0, 5.0]), 64))
    path = solver(tool).path(poses, begin, 1 / 15)
    assert (off(tool, path.rows, poses) <= (MILLIMETER, HALF_DEGREE)).all()
    assert path.rows[-1, 5] == pytest.approx(14.0, abs=1e-3)


def test_an_arm_with_a_spare_joint_begins_where_it_is_and_comes_to_the_middle() -> None:
    tool = panda()
    begin = HOME + np.array([0.8, 0, -0.8, 0, 0, 0, 0.5])  # an elbow that stands out
    poses = np.tile(tool.pose(begin), (200, 1, 1))
    path = solver(tool).path(poses, begin, 1 / 15)
    assert (off(tool, path.rows, poses) < (1e-4, 1e-3)).all()
    assert np.abs(path.rows[0] - begin).max() < 0.05
    middle = (tool.lower + tool.upper) / 2
    assert np.linalg.norm(path.rows[-1] - middle) < np.linalg.norm(begin - middle) - 0.1
