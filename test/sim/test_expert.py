# SPDX-License-Identifier: Apache-2.0
"""The scripted experts solve every task smoothly, also when something goes wrong."""

import dataclasses
import importlib.util
import math

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.interface import NS
from cosmos3_ros.sim.arm_constants import ARM, FINGER_CLOSED
from cosmos3_ros.sim.emulated_controllers import ArmController, Point, Robot, State, Trajectory
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.kinematics import Kinematics, downwards, yaw_of
from cosmos3_ros.sim.real_time_pace import TICKS_PER_SECOND
from cosmos3_ros.sim.tasks import TASKS
from cosmos3_ros.sim.tasks.standard import STANDARD


def perform(env, expert, limit=250, noise=0.0):
    """Act until solved; returns the actions."""
    random, actions = np.random.default_rng(0), []
    while not env.success and len(actions) < limit:
        actions.append(expert.act())
        env.step(actions[-1] + np.append(random.normal(0, noise, 7), 0.0))
    return np.array(actions)


@pytest.mark.parametrize("task", TASKS)
def test_experts_solve_their_tasks_smoothly(task, env):
    for seed in (0, 1, 2) if task in STANDARD else (0,):
        env.reset(task, seed)
        actions = perform(env, Expert(env.simulation))
        assert env.success, f"seed {seed}"
        assert np.abs(np.diff(actions[:, :7], axis=0)).max() * 15 < 1.8  # rad/s
        assert np.abs(np.diff(actions[:, :7], n=2, axis=0)).max() * 15**2 < 6.0  # rad/s^2
        assert ((actions[:, 7] == 0) | (actions[:, 7] == 1)).all()


def test_experts_withstand_noise(env):
    for task in TASKS:
        env.reset(task, 11)
        perform(env, Expert(env.simulation), noise=0.01)
        assert env.success, task


@pytest.mark.parametrize("task", ["lift", "bowl", "push"])
def test_experts_recover_when_the_cube_is_taken_away(task, env):
    env.reset(task, 2)
    expert = Expert(env.simulation)
    perform(env, expert, limit=30)
    assert not env.success
    env.simulation.world.data.joint(env.simulation.layout.target).qpos[:2] = (0.42, -0.15)
    perform(env, expert, limit=300)
    assert env.success


def test_an_expert_can_take_over_in_the_middle(env):
    env.reset("bowl", 1)
    perform(env, Expert(env.simulation), limit=45)
    assert not env.success
    perform(env, Expert(env.simulation))
    assert env.success


@pytest.mark.parametrize(("turned", "quarters"), [(-0.5, 0), (0.5, 0), (0.9, 1), (-0.9, 0)])
def test_a_hand_over_a_cube_is_turned_the_shorter_way(turned, quarters, env):
    """But no further than the wrist should turn: in the last case that would be 111 degrees."""
    env.reset("lift", 3)
    world, cube = env.simulation.world, env.simulation.layout.target
    place, yaw = (
        world.position(cube) + np.array([0.0, 0.0, 0.07]),
        math.remainder(world.yaw(cube), math.pi / 2),
    )
    start = Kinematics(world).solve(
        env.simulation.layout.start, place, downwards(yaw + turned), rounds=100
    )
    world.arrange(dataclasses.replace(env.simulation.layout, start=start))
    expert = Expert(env.simulation)
    perform(env, expert, limit=20)
    assert abs(yaw_of(world.tool_rotation()) - (yaw + quarters * math.pi / 2)) < 0.03
    perform(env, expert)
    assert env.success


def test_an_expert_that_is_wrong_about_a_turn_grasps_across_the_edges(env):
    env.reset("lift", 3)
    perform(env, Expert(env.simulation, twist=0.5), limit=32)
    world, cube = env.simulation.world, env.simulation.layout.target
    assert np.linalg.norm(world.tool() - world.position(cube)) < 0.03
    wrong = math.remainder(yaw_of(world.tool_rotation()) - world.yaw(cube), math.pi / 2)
    assert abs(wrong - 0.5) < 0.1


@pytest.mark.parametrize("task", [*STANDARD, "lift_turning", "bowl_then_lift", "catch"])
def test_experts_need_no_memory(task, env):
    """A learner sees single moments: an expert that forgets all after 0.4 s gets there, too."""
    env.reset(task, 4)
    # a new expert begins at rest, which a rolling ball does not forgive as often
    steps = 15 if task == "catch" else 6
    while env.simulation.elapsed < 32 * NS and not env.success:
        perform(env, Expert(env.simulation), limit=steps)
    assert env.success


@pytest.mark.parametrize(("behind", "aside"), [(0.065, 0.01), (0.12, -0.02), (0.16, 0.0)])
def test_a_hand_low_behind_the_cube_pushes_from_where_it_is(behind, aside, env):
    """Going up for a few centimeters is what a learner wrong by those would do forever."""
    env.reset("push", 4)
    world, layout = env.simulation.world, env.simulation.layout
    cube = world.position(layout.target)[:2]
    along = (np.array(layout.place) - cube) / np.linalg.norm(np.array(layout.place) - cube)
    place = cube - behind * along + aside * np.array([-along[1], along[0]])
    joints = layout.start
    for height in (0.15, 0.036):
        before, joints = (
            joints,
            Kinematics(world).solve(joints, np.array([*place, height]), downwards(0.0), rounds=60),
        )
        for share in np.linspace(0.05, 1.0, 20):
            env.move(np.append(before + share * (joints - before), 1.0))
    expert, heights = Expert(env.simulation), []
    while not env.success and len(heights) < 60:
        env.move(expert.act())
        heights.append(world.tool()[2])
    assert env.success
    assert max(heights) < 0.06


def test_a_trajectory_through_the_controllers_does_what_the_same_actions_do_in_the_env(env):
    """As in process, so over ROS: action rows, one step apart, as one trajectory."""
    env.reset("lift", 3)
    actions = perform(env, Expert(env.simulation))
    expected = env.simulation.world.positions()
    env.reset("lift", 3)
    simulation, period = env.simulation, NS // TICKS_PER_SECOND
    robot = Robot(ArmController(ARM, period), "finger_joint")
    robot.hold(simulation.layout.start, 0.0, 0)
    points = [Point((i + 1) * NS // 15, action[:7]) for i, action in enumerate(actions)]
    robot.arm.follow(Trajectory(ARM, points), 0)
    for tick in range(len(actions) * 8):
        if tick % 8 == 0 and tick:
            robot.grip([actions[tick // 8 - 1, 7] * FINGER_CLOSED])
        simulation.tick(
            *robot.update(tick * NS // TICKS_PER_SECOND, State(np.zeros(7), np.zeros(7)))
        )
    assert simulation.success
    assert np.allclose(simulation.world.positions(), expected, atol=1e-3)
