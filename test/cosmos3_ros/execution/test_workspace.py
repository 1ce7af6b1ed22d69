# SPDX-License-Identifier: Apache-2.0
"""What a tool keeps to, on a gantry: its joints are x, y, z of the tool and a turn about z."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.chunk_player import PLAYING, ChunkPlayer, PlaybackRules
from cosmos3_ros.execution.spline_motion import Limits, SplineMotion, brake
from cosmos3_ros.execution.workspace import ToolLimits, workspace
from cosmos3_ros.model.interface import NS, ActionChunk

JOINTS = ("x", "y", "z", "turn")
LIMITS = Limits(*(np.full(4, value) for value in (-3.0, 3.0, 2.0, 8.0, 200.0)))


class Gantry:
    """A tool that is where its joints say."""

    def poses(self, positions: np.ndarray) -> np.ndarray:
        poses = np.tile(np.eye(4), (len(positions), 1, 1))
        poses[:, :3, 3] = positions[:, :3]
        cosine, sine = np.cos(positions[:, 3]), np.sin(positions[:, 3])
        poses[:, 0, 0], poses[:, 0, 1] = cosine, -sine
        poses[:, 1, 0], poses[:, 1, 1] = sine, cosine
        return poses


def player(start: Any = (0, 0, 0, 0), **keeps: Any) -> ChunkPlayer:
    tool = ToolLimits(Gantry(), LIMITS, **keeps)
    made = ChunkPlayer(JOINTS, LIMITS, rules=PlaybackRules(jump=10), tool=tool)
    made.start_at(0, np.array(start, float))
    return made


def chunk_to(goal: Any, start: Any = (0, 0, 0, 0), seconds: float = 1.0, now: int = 0) -> Any:
    share = np.linspace(0, 1, 16)[1:, None]
    share = 3 * share**2 - 2 * share**3
    rows = np.array(start, float) + share * (np.array(goal, float) - np.array(start, float))
    return ActionChunk(rows.astype(np.float32), JOINTS, now, round(seconds * NS / 15))


def line(motion: SplineMotion) -> np.ndarray:
    """Positions every ms."""
    return motion.at(
        motion.start + NS // 1000 * np.arange((motion.end - motion.start) * 1000 // NS)
    )[0]


BOX = workspace([-1, -1, -0.5], [1, 1, 1], ())


def test_inside_of_the_box_nothing_changes() -> None:
    free, kept = ChunkPlayer(JOINTS, LIMITS, rules=PlaybackRules(jump=10)), player(workspace=BOX)
    free.start_at(0, np.zeros(4))
    for each in (free, kept):
        assert each.load(0, chunk_to((0.5, 0.5, 0.5, 1)), 1)
    assert free.motion is not None
    assert kept.motion is not None
    assert np.array_equal(free.motion.points, kept.motion.points)


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ((1.2, 0, 0, 0), r"the tool would leave its workspace: \(1.200, 0.000, 0.000\) is 0.200 m"),
        ((0, -1.1, 0, 0), "is 0.100 m beyond y >= -1 m"),
        ((0, 0, 1.3, 0), "is 0.300 m beyond z <= 1 m"),
    ],
)
def test_a_chunk_out_of_the_box_is_rejected_and_the_motion_goes_on(goal: Any, words: str) -> None:
    import re

    arm = player(workspace=BOX)
    assert arm.load(0, chunk_to((0.4, 0, 0, 0)), 1)
    before = arm.motion
    assert not arm.load(NS // 10, chunk_to(goal, now=NS // 10), 2)
    assert arm.motion is before
    assert arm.mode == PLAYING
    assert re.search(words, arm.last_rejection)


def test_the_way_counts_not_only_its_end() -> None:
    wall = workspace((), (), [0, -1.0, 0, -0.3])  # y stays below 0.3
    arm = player(workspace=wall)
    rows = np.zeros((15, 4), np.float32)
    rows[:, 1] = 0.4 * np.sin(np.linspace(0, np.pi, 15))  # there and back again
    assert not arm.load(0, ActionChunk(rows, JOINTS, 0, NS // 15), 1)
    assert "m beyond -1 y >= -0.3" in arm.last_rejection


def test_keep_out_planes_of_any_direction() -> None:
    slope = workspace((), (), [1, 0, 1, 0.2, 0, 0, 2, -0.5])
    assert slope is not None
    assert slope.names == ("1 x + 1 z >= 0.2", "2 z >= -0.5")
    margins = slope.margins(np.array([[0.2, 0, 0], [0, 5, 0.2], [0, 0, -0.25]]))
    assert np.allclose(margins, [[0, 0.25], [0, 0.45], [-0.45 / np.sqrt(2), 0]])
    arm = player((0.5, 0, 0, 0), workspace=slope)
    assert arm.load(0, chunk_to((0.5, 0, -0.2, 0), (0.5, 0, 0, 0)), 1)
    assert not arm.load(0, chunk_to((0.4, 0, -0.24, 0), (0.5, 0, 0, 0)), 2)
    assert "beyond 1 x + 1 z >= 0.2" in arm.last_rejection


def test_a_stop_on_the_way_stays_inside_too() -> None:
    """Along a slope: x stops sooner than y does, which leads over the border."""
    limits = dataclasses.replace(LIMITS, acceleration=np.array([9.0, 2, 9, 9]))
    slope = workspace((), (), [1, 1, 0, -0.02])
    along = chunk_to((0.8, -0.8, 0, 0), seconds=2.0)
    arms = [
        ChunkPlayer(JOINTS, limits, rules=PlaybackRules(jump=10), tool=tool)
        for tool in (None, ToolLimits(Gantry(), limits, slope))
    ]
    for arm in arms:
        arm.start_at(0, np.zeros(4))
    assert arms[0].load(0, along, 1)
    motion = arms[0].motion
    assert motion is not None
    lowest = [line(each)[:, :2].sum(axis=1).min() for each in (motion, brake(motion, NS, limits))]
    assert lowest[0] > -0.02 > lowest[1], "the case that is meant"
    assert not arms[1].load(0, along, 1)
    assert "the tool would leave its workspace in a stop after " in arms[1].last_rejection


def test_a_tool_that_is_outside_may_come_back_and_go_no_further() -> None:
    start = (1.3, 0, 0, 0)
    arm = player(start, workspace=BOX)
    assert not arm.load(0, chunk_to((1.4, 0, 0, 0), start), 1)
    assert "(1.400, 0.000, 0.000) is 0.400 m beyond x <= 1 m" in arm.last_rejection
    assert not arm.load(0, chunk_to((0.5, 1.5, 0, 0), start), 2), "out by another side"
    assert arm.load(0, chunk_to((0.5, 0, 0, 0), start), 3)


@pytest.mark.parametrize("turning", [False, True])
def test_a_tool_that_is_too_fast_is_slowed_down(turning: bool) -> None:
    most = (9.0, 0.5) if turning else (0.3, 9.0)
    goal = (0, 0, 0, 1) if turning else (0.4, 0.3, 0, 0)
    arm = player(velocity=most)
    assert arm.load(0, chunk_to(goal), 1)
    assert arm.motion is not None
    assert arm.limited == 1
    assert "of its speed" in arm.last_limit
    speed = np.abs(np.diff(line(arm.motion), axis=0)) * 1000
    fastest = speed[:, 3].max() if turning else np.linalg.norm(speed[:, :3], axis=1).max()
    limit = 0.5 if turning else 0.3
    assert limit * 0.6 < fastest <= limit
    assert np.allclose(arm.motion.points[-1], goal, atol=1e-5)


def test_a_tool_that_accelerates_too_much_is_slowed_down() -> None:
    free = ChunkPlayer(JOINTS, LIMITS, rules=PlaybackRules(jump=10))
    free.start_at(0, np.zeros(4))
    arm = player(acceleration=(1.0, 9.0))
    found = []
    for each in (free, arm):
        assert each.load(0, chunk_to((0.5, 0, 0, 0)), 1)
        assert each.motion is not None
        positions = each.motion.at(each.motion.start + NS // 100 * np.arange(400))[0][:, 0]
        found.append(np.abs(np.diff(positions, 2)).max() * 1e4)
    assert found[0] > 1.5
    assert found[1] <= 1.0


def test_what_no_pace_can_mend_is_rejected_in_words() -> None:
    arm = player(velocity=(0.01, 9.0))
    assert not arm.load(0, chunk_to((1, 0, 0, 0)), 1)
    assert "the tool would have 1." in arm.last_rejection
    assert "m/s, limit 0.010, even 10 times slower" in arm.last_rejection


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([0, 0], [], []), "'workspace_lower': expected x, y and z, got"),
        (([0, 0, 1], [1, 1, 1], []), "expected lower < upper, got"),
        (([], [], [1, 0, 0]), "'keep_out': expected nx, ny, nz, d of each plane, got 3"),
        (([], [], [1, 0, 0, 0, 0, 0, 0, 1]), "expected a direction in plane 2"),
    ],
)
def test_a_space_that_is_none_is_refused(given: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        workspace(*given)
    assert workspace([], [], []) is None


def test_random_chunks_and_random_stops_never_leave_the_box() -> None:
    rng, played = np.random.default_rng(3), 0
    arm = player(workspace=workspace([-0.4] * 3, [0.4] * 3, [1, 1, 0, -0.3]))
    space = workspace([-0.4] * 3, [0.4] * 3, [1, 1, 0, -0.3])
    assert space is not None
    now, at = 0, np.zeros(4)
    for number in range(60):
        rows = at + np.cumsum(rng.normal(0, 0.03, (12, 4)), axis=0)
        chunk = ActionChunk(rows.astype(np.float32), JOINTS, now, NS // 15)
        played += arm.load(now, chunk, number)
        now += int(rng.uniform(0.02, 0.5) * NS)
        assert arm.motion is not None
        if number % 3 == 0:
            arm.hold(now, "a stop")
        margins = space.margins(line(arm.motion)[:, :3])
        assert len(margins) == 0 or margins.min() > -1e-3
        at = arm.motion.at(now)[0]
    assert played > 12
