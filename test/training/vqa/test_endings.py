# SPDX-License-Identifier: Apache-2.0
"""How attempts end: repeatable, at rest, judged by the simulator, and as questions for training."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.training.data.demonstrations import Demonstration
from cosmos3_ros.training.vqa.endings import Attempt, attempt
from cosmos3_ros.training.vqa.samples import Watch, watch

LIFT = Demonstration("lift", 4, height=90, width=160, astray=0.0)


@pytest.mark.sim
def test_an_attempt_ends_as_it_is_to_and_always_alike() -> None:
    finished = attempt(Attempt(LIFT, "finished", frames=3))
    assert (finished.goal[0], finished.solved) == ("lift", True)
    assert finished.frames.shape == (3, 3, 90, 160, 3)
    assert np.array_equal(finished.frames, attempt(Attempt(LIFT, "finished", 3)).frames)
    # at rest: half a second before the end it looked the same, a second before it moved
    assert np.abs(finished.frames[2].astype(int) - finished.frames[1]).mean() < 0.5
    halted = attempt(Attempt(LIFT, "halted"))
    assert not halted.solved
    assert np.array_equal(halted.frames[0, 0].shape, finished.frames[0, 0].shape)


@pytest.mark.sim
def test_short_of_the_goal_is_near_it_on_either_side() -> None:
    heights, solved = [], set()
    for seed in range(4, 10):
        wanted = Demonstration("lift", seed, height=9, width=16, astray=0.0)
        ending = attempt(Attempt(wanted, "short"))
        heights.append(ending.facts.cubes[ending.goal[1]][2])
        solved.add(ending.solved)
        assert ending.solved == (heights[-1] > 0.10)
    assert solved == {True, False}
    assert np.mean(np.abs(np.array(heights) - 0.10) < 0.05) > 0.6


@pytest.mark.sim
def test_endings_are_asked_about_beside_what_was_asked_before() -> None:
    plain = Watch(LIFT, looks=1, stills=1)
    more = Watch(LIFT, looks=1, stills=1, endings=2)
    before, after = watch(plain), watch(more)
    assert len(after) == len(before) + 2
    for one, other in zip(before, after, strict=False):
        assert np.array_equal(one.pictures, other.pictures)
        assert one.lessons == other.lessons
    for scene in after[-2:]:
        assert "done" in {lesson.kind for lesson in scene.lessons}


def test_an_ending_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected how of finished, halted, .*, got 'sad', 1"):
        Attempt(LIFT, "sad")
    with pytest.raises(ValueError, match=r"expected how of .* got 'short', 0 and 2\.0"):
        Attempt(LIFT, "short", frames=0)
