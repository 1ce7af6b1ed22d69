# SPDX-License-Identifier: Apache-2.0
"""Scenes and success of the hard tasks: what moves, moves as said; no success by accident."""

import importlib.util
import math

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.gl import mujoco
from cosmos3_ros.sim.layout import CLUTTER, COLORS, CUBE, SMALL
from cosmos3_ros.sim.tasks import SUITES, TASKS, arrange
from cosmos3_ros.sim.tasks.hard import HARD
from cosmos3_ros.sim.tasks.hard_layouts import ROLL, SPIN


def stay(env, seconds, watch=lambda: None):
    for _ in range(round(15 * seconds)):
        env.move(np.append(env.simulation.layout.start, 0.0))
        watch()


def perform(env, until, limit=250):
    """Let the expert act until something holds, or the limit is reached."""
    expert = Expert(env.simulation)
    for _ in range(limit):
        if until():
            return
        env.move(expert.act())
    raise AssertionError("it never was so")


@pytest.mark.parametrize("task", SUITES["hard"])
def test_nothing_is_solved_by_waiting(task, env):
    for seed in (0, 1):
        env.reset(task, seed)
        stay(env, 5)
        assert not env.success


@pytest.mark.parametrize("task", [name for name in HARD if name != "bowl_then_lift"])
def test_a_thing_must_be_in_the_hand_not_only_high(task, env):
    env.reset(task, 0)
    world, layout = env.simulation.world, env.simulation.layout
    pose = world.data.joint(layout.target).qpos
    for away, solved in ((0.06, False), (0.0, True)):
        pose[:3] = world.tool() + np.array([0.0, away, 0.0])
        mujoco.mj_forward(world.model, world.data)
        assert TASKS[task].solved(world, layout) == solved
    pose[2] = 0.09
    mujoco.mj_forward(world.model, world.data)
    assert not TASKS[task].solved(world, layout)


def test_two_steps_are_both_needed(env):
    env.reset("bowl_then_lift", 0)
    world, layout = env.simulation.world, env.simulation.layout
    solved = lambda: TASKS["bowl_then_lift"].solved(world, layout)  # noqa: E731
    in_bowl, in_hand = [*layout.place, 0.03], world.tool()

    def put(target, base):
        for cube, place in ((layout.target, target), (layout.base, base)):
            world.data.joint(cube).qpos[:3] = place
        mujoco.mj_forward(world.model, world.data)

    table = [0.40, 0.25, CUBE]
    put(in_bowl, table)
    assert not solved()
    put(table, in_hand)
    assert not solved()
    put(in_hand, in_bowl)
    assert not solved()
    put(in_bowl, in_hand)
    assert solved()


def test_the_ball_rolls_steadily_and_a_hand_that_does_not_follow_has_not_caught_it(env):
    env.reset("catch", 0)
    world, places = env.simulation.world, []
    stay(env, 3, lambda: places.append(world.position("ball")))
    steps = 15 * np.linalg.norm(np.diff(np.stack(places)[5:], axis=0), axis=1)
    assert np.allclose(steps, ROLL, rtol=0.02)
    assert arrange("catch", 0).roll != arrange("catch", 1).roll


def test_the_turntable_carries_its_cube_round(env):
    env.reset("lift_turning", 0)
    world, layout = env.simulation.world, env.simulation.layout
    cube, middle = layout.target, np.array(layout.place)

    def where():
        return world.position(cube)[:2] - middle

    before, yaw = where(), world.yaw(cube)
    stay(env, 2)
    after = where()
    went = math.atan2(after[1], after[0]) - math.atan2(before[1], before[0])
    assert math.remainder(went - 2 * SPIN, 2 * math.pi) == pytest.approx(0.0, abs=0.05)
    assert math.remainder(world.yaw(cube) - yaw - 2 * SPIN, math.pi / 2) == pytest.approx(
        0.0, abs=0.05
    )
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), abs=0.002)


@pytest.mark.parametrize("seed", range(3))
def test_a_cube_is_knocked_away_each_time_the_hand_comes_near(seed, env):
    env.reset("lift_knocked", seed)
    world, layout = env.simulation.world, env.simulation.layout
    cube, place = layout.target, np.array(layout.cubes[layout.target][:2])

    def away():
        return float(np.linalg.norm(world.position(cube)[:2] - place))

    stay(env, 1)
    assert away() < 0.002
    for way in layout.knock.ways:
        perform(env, lambda: away() > 0.01)
        place = place + way
        hold = np.append(world.positions()[:7], 0.0)
        for _ in range(15):
            env.move(hold)
        assert away() < 0.025
        assert not env.success
        place = world.position(cube)[:2]
    perform(env, lambda: env.success)


def test_what_differs_from_lift_is_as_said(env):
    for seed in range(20):
        x, y, _ = (layout := arrange("lift_edge", seed)).cubes[layout.target]
        assert x < 0.38 or x > 0.62 or abs(y) > 0.22
        things = (layout := arrange("lift_clutter", seed)).things
        place = np.array(layout.cubes[layout.target][:2])
        near = [np.linalg.norm(place - thing[:2]) < 0.16 for thing in things.values()]
        assert {*things} == {*CLUTTER}
        assert sum(near) >= 3
        assert {color for _, _, color in CLUTTER.values()} == {*COLORS}
    env.reset("lift_small", 0)
    world, layout = env.simulation.world, env.simulation.layout
    assert (world.model.geom(layout.target).size == SMALL).all()
    assert world.position(layout.target)[2] == SMALL
    assert {name for name, task in HARD.items() if task.wordings == TASKS["lift"].wordings} == {
        "lift_small",
        "lift_edge",
        "lift_clutter",
        "lift_knocked",
    }
