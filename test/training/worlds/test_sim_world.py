# SPDX-License-Identifier: Apache-2.0
"""The own simulation as a world."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.worlds.rollout import play_expert
from cosmos3_ros.training.worlds.sim_world import SimWorld
from cosmos3_ros.training.worlds.world import check_world, parse_tasks


def test_the_expert_solves_a_task_of_it():
    world = SimWorld()
    assert check_world("here", world) is world
    assert parse_tasks(world, "basic")[0] in world.tasks
    with pytest.raises(ValueError, match="sim: expected reset before anything else"):
        world.observe()
    result = play_expert(world, "reach", 0)
    assert result.success
    assert 5 < result.steps < 60
    assert world.truth().shape == (GroundTruth.WIDTH,)
    world.reset("reach", 0)
    assert world.command[:7] == pytest.approx(world.observe(look=False).state[:7], abs=0.02)
    assert not world.success
    with pytest.raises(ValueError, match="action of sim: expected 8 finite numbers"):
        world.step(np.zeros(7))
    with pytest.raises(ValueError, match="protocol of sim: expected suite, got 'evo1'"):
        SimWorld("evo1")
