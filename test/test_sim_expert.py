# SPDX-License-Identifier: Apache-2.0
"""The scripted experts: they solve every task, smoothly, also when something goes wrong on the way."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.interface import NS
from cosmos3_ros.sim.controllers import ArmController, Point, Robot, State, Trajectory
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.robot import ARM, FINGER_CLOSED
from cosmos3_ros.sim.tasks import TASKS
from cosmos3_ros.sim.world import TICKS_PER_SECOND


@pytest.fixture
def env():
    made = Env(views=())
    yield made
    made.close()


def perform(env, expert, limit=250, noise=0.0):
    """Act until solved; returns the actions."""
    random, actions = np.random.default_rng(0), []
    while not env.success and len(actions) < limit:
        actions.append(expert.act())
        env.step(actions[-1] + np.append(random.normal(0, noise, 7), 0.0))
    return np.array(actions)


@pytest.mark.parametrize("task", TASKS)
def test_experts_solve_their_tasks_smoothly(task, env):
    for seed in (0, 1, 2):
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


@pytest.mark.parametrize("task", TASKS)
def test_experts_need_no_memory(task, env):
    """Who learns from them sees single moments: an expert that forgets everything after 0.4 s must get there, too."""
    env.reset(task, 4)
    for _ in range(80):
        perform(env, Expert(env.simulation), limit=6)
    assert env.success


def test_a_trajectory_through_the_controllers_does_what_the_same_actions_do_in_the_env(env):
    """What holds in process holds over ROS: rows of actions, due one step after the other, as one trajectory."""
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
        simulation.tick(*robot.update(tick * NS // TICKS_PER_SECOND, State(np.zeros(7), np.zeros(7))))
    assert simulation.success
    assert np.allclose(simulation.world.positions(), expected, atol=1e-3)
