# SPDX-License-Identifier: Apache-2.0
"""Two arms lift a bar: neither can alone, and both wait for each other."""

import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.sim.arm_constants import closure
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.tasks import TASKS, arrange, find, parse_names
from cosmos3_ros.sim.tasks.two_arms import TWO_ARMS, ends


def perform(env: Env, limit: int = 120, noise: float = 0.0, arms: slice = slice(None)) -> list:
    """Act until solved; the actions. arms: of them the others stay where they are."""
    expert, random, taken = Expert(env.simulation), np.random.default_rng(1), []
    stay = np.append(env.simulation.layout.start.reshape(2, 7), np.zeros((2, 1)), axis=1)
    while not env.success and len(taken) < limit:
        action = stay.copy()
        action[arms] = expert.act().reshape(2, 8)[arms]
        action[:, :7] += random.normal(0.0, noise, (2, 7))
        taken.append(action)
        env.move(action.ravel())
    return taken


@pytest.mark.parametrize("seed", range(4))
def test_the_expert_lifts_the_bar_smoothly_with_both_arms(seed: int, env: Env) -> None:
    env.reset("lift_bar", seed)
    actions = np.array(perform(env, noise=0.005 * (seed % 2)))
    assert env.success
    if not seed % 2:
        assert np.abs(np.diff(actions[..., :7], axis=0)).max() * 15 < 1.8  # rad/s
        assert np.abs(np.diff(actions[..., :7], n=2, axis=0)).max() * 15**2 < 6.0  # rad/s^2
    world = env.simulation.world
    assert all(0.1 < closure(arm.positions()[7]) < 0.95 for arm in world.arms)


@pytest.mark.parametrize("arm", [0, 1])
def test_one_arm_alone_does_not_lift_it(arm: int, env: Env) -> None:
    env.reset("lift_bar", 2)
    perform(env, arms=slice(arm, arm + 1))
    assert not env.success
    world = env.simulation.world
    assert closure(world.arms[arm].positions()[7]) > 0.1, "it holds its end,"
    assert world.position("bar")[2] < 0.03, "and waits for the other"


def test_a_bar_that_is_held_at_one_end_and_high_is_not_solved(env: Env) -> None:
    env.reset("lift_bar", 0)
    world, task = env.simulation.world, find("lift_bar")
    assert not task.solved(world, env.simulation.layout)
    world.data.joint("bar").qpos[2] = 0.2
    assert not task.solved(world, env.simulation.layout), "nobody holds it"


def test_state_and_action_have_a_gripper_behind_each_arm(env: Env) -> None:
    seen = env.reset("lift_bar", 5)
    assert seen.state.shape == (16,)
    assert np.allclose(seen.state.reshape(2, 8)[:, :7].ravel(), env.simulation.layout.start)
    closing = np.append(env.simulation.layout.start.reshape(2, 7), [[1.0], [0.0]], axis=1)
    for _ in range(12):
        seen = env.step(closing.ravel())
    assert seen.state[7] == pytest.approx(1.0, abs=0.02)
    assert seen.state[15] == pytest.approx(0.0, abs=0.02)
    with pytest.raises(ValueError, match="expected 16 finite numbers"):
        env.move(np.zeros(8))


def test_layouts_differ_and_each_arm_reaches_its_end(env: Env) -> None:
    places = []
    for seed in range(20):
        env.reset("lift_bar", seed)
        (left, _), (right, _) = ends(env.simulation.world)
        assert 0.25 < left < 0.45 < 0.55 < right < 0.75
        places.append(arrange("lift_bar", seed).things["bar"])
    assert np.ptp(places, axis=0).min() > 0.05


def test_the_task_is_found_by_name_and_in_no_suite_of_one_arm() -> None:
    assert not {*TASKS} & {*TWO_ARMS}
    assert parse_names("lift_bar") == ["lift_bar"]
    with pytest.raises(ValueError, match=r"unknown task lift_bars.*lift_bar"):
        parse_names("lift_bars")
