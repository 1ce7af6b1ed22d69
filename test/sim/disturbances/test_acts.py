# SPDX-License-Identifier: Apache-2.0
"""Disturbances do what they say, once, and the next episode is as it was."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.sim.disturbances import KINDS, Disturbance
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.real_time_pace import TICKS_PER_SECOND


def still(env: Env, disturbance: Disturbance, seconds: float) -> None:
    """The arm stays where it begins."""
    simulation = env.simulation
    for _ in range(round(seconds * TICKS_PER_SECOND)):
        start = simulation.layout.start
        targets = disturbance.tick(simulation.world, simulation.layout, simulation.ticks, start)
        simulation.tick(targets, 0.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_hand_moves_the_cube_of_the_task_and_nothing_else(env: Env, seed: int) -> None:
    env.reset("lift", seed)
    world, layout = env.simulation.world, env.simulation.layout
    before = {color: world.position(color) for color in layout.cubes}
    disturbance = Disturbance("moved", seed)
    still(env, disturbance, 2.5)
    assert disturbance.began is not None
    assert 0.8 <= disturbance.began / TICKS_PER_SECOND <= 1.8
    ways = {color: np.linalg.norm(world.position(color) - place) for color, place in before.items()}
    assert 0.055 < ways.pop(layout.target) < 0.155
    assert all(way < 0.002 for way in ways.values())
    assert world.position(layout.target)[2] == pytest.approx(layout.half, abs=0.002)


def test_what_is_not_held_does_not_slip(env: Env) -> None:
    env.reset("lift", 0)
    disturbance = Disturbance("slip", 0)
    still(env, disturbance, 2.0)
    assert disturbance.began is None


def test_a_cube_in_the_air_slips_down(env: Env) -> None:
    env.reset("lift", 0)
    world, layout = env.simulation.world, env.simulation.layout
    joint = world.data.joint(layout.target)
    joint.qpos[2] = 0.2
    disturbance = Disturbance("slip", 0, after=(0.0, 0.0))
    still(env, disturbance, 0.1)
    assert disturbance.began in (0, 1)
    still(env, disturbance, 1.0)
    assert world.position(layout.target)[2] < 0.05


def test_camera_and_light_change_and_are_as_before_in_the_next_episode(env: Env) -> None:
    env.reset("lift", 3)
    model = env.simulation.world.model
    usual = model.cam_pos.copy(), model.cam_quat.copy(), model.light_diffuse.copy()
    for kind in ("bump", "light"):
        still(env, Disturbance(kind, 3), 2.0)
    assert np.abs(model.cam_pos - usual[0]).max() > 0.004
    assert np.abs(model.cam_quat - usual[1]).max() > 0.005
    assert np.abs(model.light_diffuse / usual[2] - 1).max() > 0.3
    env.reset("lift", 3)
    for now, then in zip((model.cam_pos, model.cam_quat, model.light_diffuse), usual, strict=True):
        np.testing.assert_allclose(now, then)


def test_a_blocked_arm_stays_where_it_is(env: Env) -> None:
    env.reset("lift", 0)
    simulation, disturbance = env.simulation, Disturbance("blocked", 0, after=(0.0, 0.0))
    away = simulation.layout.start + 0.3
    for second in (0.0, 1.0, 2.0):
        for _ in range(TICKS_PER_SECOND if second else 1):
            targets = disturbance.tick(simulation.world, simulation.layout, simulation.ticks, away)
            simulation.tick(targets, 0.0)
        near = np.abs(simulation.world.positions()[:7] - simulation.layout.start).max()
        assert (near < 0.02) == (second < 2.0)


def test_the_same_seed_does_the_same_and_an_unknown_kind_is_refused(env: Env) -> None:
    places = []
    for _ in range(2):
        env.reset("push", 5)
        still(env, Disturbance("moved", 5), 2.5)
        places.append(env.simulation.world.position(env.simulation.layout.target))
    np.testing.assert_allclose(*places)
    with pytest.raises(ValueError, match=f"expected one of {', '.join(KINDS)}, got 'storm'"):
        Disturbance("storm", 0)
