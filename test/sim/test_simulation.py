# SPDX-License-Identifier: Apache-2.0
"""The simulation without ROS: scenes, tasks, physics, actions, experts, pacing.

And with OpenGL the cameras.
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.checkpoint_io.trained_tasks import trained_tasks
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS
from cosmos3_ros.sim import tasks
from cosmos3_ros.sim.arm_constants import FINGER_CLOSED, HOME, LOWER, UPPER
from cosmos3_ros.sim.camera_table import VIEWS
from cosmos3_ros.sim.cameras import intrinsics
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.gl import mujoco
from cosmos3_ros.sim.kinematics import Kinematics, downwards
from cosmos3_ros.sim.layout import COLORS, KINDS, mounts_of
from cosmos3_ros.sim.real_time_pace import Pace
from cosmos3_ros.sim.tasks import TASKS, arrange, instruction
from cosmos3_ros.sim.world import World

DROID_SIM = EMBODIMENTS["droid_sim"]


# -- scenes and tasks ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_decides_everything_and_seeds_differ(task, env):
    def play(seed):
        env.reset(task, seed)
        expert = Expert(env.simulation)
        return np.array([env.step(expert.act()).state for _ in range(20)])

    assert np.array_equal(play(5), play(5))
    assert not np.array_equal(play(5), play(6))


@pytest.mark.parametrize("task", TASKS)
def test_layouts_keep_things_apart_on_the_table_and_unsolved(task):
    world = World(TASKS[task].kind)
    distractors = set()
    for seed in range(30):
        layout = arrange(task, seed)
        places = [np.array(cube[:2]) for cube in layout.cubes.values()]
        for i, place in enumerate(places):
            assert 0.35 <= place[0] < 0.68
            assert abs(place[1]) < 0.27
            assert all(np.linalg.norm(place - other) > 0.08 for other in places[:i])
        assert layout.target in layout.cubes or not layout.cubes
        assert layout.base in layout.cubes or not layout.base
        assert (layout.start > LOWER).all()
        assert (layout.start < UPPER).all()
        distractors.add(len(places))
        world.arrange(layout)
        assert not TASKS[task].solved(world, layout)
    fewer = {"drawer": 1, "close_drawer": 1, "catch": 1, "stack": 2, "bowl_then_lift": 2}
    assert len(distractors) == fewer.get(task, 3)


def test_every_color_is_asked_for_and_distractors_can_be_left_out():
    layouts = [arrange("lift", seed, distractors=0) for seed in range(30)]
    assert {layout.target for layout in layouts} == set(COLORS)
    assert all(set(layout.cubes) == {layout.target} for layout in layouts)


def test_instructions_name_the_cube_in_several_wordings():
    layout = arrange("stack", 3)
    said = {instruction("stack", layout, i) for i in range(len(TASKS["stack"].wordings))}
    assert len(said) >= 4
    assert all(layout.target in words and layout.base in words for words in said)
    assert all(len(set(task.wordings)) == len(task.wordings) >= 4 for task in TASKS.values())


def test_wrong_tasks_seeds_and_wordings_are_refused_and_change_nothing(env):
    env.reset("lift", 1)
    before = env.observe()
    for wrong, words in (
        (("fly", 0), "task: expected one of reach, lift"),
        (("lift", -1), "seed: expected a number >= 0, got -1"),
        (("lift", 0, 99), "wording: expected 0 to 4, got 99"),
    ):
        with pytest.raises(ValueError, match=words):
            env.reset(*wrong)
    assert env.simulation.seed == 1
    assert np.array_equal(env.observe().state, before.state)
    with pytest.raises(ValueError, match="distractors: expected 0 to 2, got 3"):
        arrange("lift", 0, distractors=3)


def test_success_counts_only_when_it_lasts(env, monkeypatch):
    env.reset("reach", 0)
    hold = np.append(env.simulation.layout.start, 0.0)
    answers = iter([True, True, False, True, True, True, False])
    monkeypatch.setattr(
        tasks.Task,
        "solved",
        property(lambda task: lambda world, layout: next(answers)),
        raising=False,
    )
    seen = []
    for _ in range(7):
        env.step(hold)
        seen.append(env.success)
    assert seen == [False] * 5 + [True, True]


# -- robot and physics -----------------------------------------------------------------------------


def test_task_names_of_the_command_line():
    assert tasks.parse_names("basic") == ["reach", "lift", "push", "bowl", "drawer"]
    assert tasks.parse_names("all") == list(TASKS)
    assert {*tasks.parse_names("hard"), *tasks.parse_names("basic")} == {*TASKS}
    assert {*tasks.parse_names("basic")} < {*trained_tasks("")} < {*TASKS}, "the embedded one's"
    assert tasks.parse_names("stack,lift") == ["stack", "lift"]
    with pytest.raises(
        ValueError, match=r"unknown task dance: expected basic, hard, all or some of reach, "
    ):
        tasks.parse_names("lift,dance")


def test_embodiment_has_a_panel_for_every_camera():
    assert DROID_SIM.views == VIEWS


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_the_robot_are_those_of_its_model(kind):
    model = World(kind).model
    for mount in mounts_of(kind):
        ranges = np.array([model.joint(name).range for name in mount.joints])
        assert np.allclose(ranges, np.stack([LOWER, UPPER], axis=1))


def test_servos_hold_and_the_gripper_closes(env):
    env.reset("reach", 0)
    start = env.simulation.layout.start
    for _ in range(15):
        state = env.step(np.append(start, 1.0)).state
    assert np.allclose(state[:7], start, atol=2e-3)
    assert abs(env.simulation.world.positions()[7] - FINGER_CLOSED) < 0.01
    assert state[7] == pytest.approx(1.0, abs=0.01)


def test_an_action_is_reached_at_the_end_of_its_step_and_the_gripper_moves_after_it(env):
    env.reset("reach", 0)
    targets = []
    drive = env.simulation.world.drive
    env.simulation.world.drive = lambda arm, finger: (
        targets.append((arm[0], finger)),
        drive(arm, finger),
    )
    start = env.simulation.layout.start
    action = np.append(start, 1.0)
    action[0] += 0.08
    first = env.step(action)
    assert np.allclose([arm for arm, _ in targets], start[0] + 0.01 * np.arange(1, 9))
    assert {finger for _, finger in targets} == {0.0}
    second = env.step(action)
    assert targets[-1] == (pytest.approx(start[0] + 0.08), FINGER_CLOSED)
    assert (first.stamp, second.stamp) == (NS // 15, 2 * NS // 15)


@pytest.mark.parametrize("action", [np.zeros(7), np.full(8, np.nan), np.zeros((1, 8))])
def test_wrong_actions_are_refused(env, action):
    env.reset("reach", 0)
    with pytest.raises(ValueError, match="action: expected 8 finite numbers"):
        env.step(action)


def test_inverse_kinematics_reaches_the_workspace():
    world = World("cubes")
    world.arrange(arrange("reach", 0))
    solver = Kinematics(world)
    for x, y, z, yaw in ((0.40, -0.2, 0.02, 0.7), (0.60, 0.2, 0.02, -0.7), (0.5, 0.0, 0.2, 1.5)):
        joints = HOME
        for _ in range(5):
            joints = solver.solve(joints, np.array([x, y, z]), downwards(yaw))
        world.data.qpos[world.arm_q] = joints
        mujoco.mj_forward(world.model, world.data)
        assert np.allclose(world.tool(), [x, y, z], atol=5e-3)
        assert np.allclose(world.tool_rotation(), downwards(yaw), atol=0.01)


# -- pacing ----------------------------------------------------------------------------------------


def test_pace_waits_for_each_tick_and_does_not_drift():
    pace, now = Pace(NS // 100, 2.0, 0), 0
    for _ in range(1000):
        now += NS // 1000  # the work of a tick
        now += round(pace.tick(now) * NS)
        assert abs(now - pace.due) < 10
    assert now == pytest.approx(5 * NS, abs=10)
    assert pace.measure(now) == pytest.approx(2.0)


def test_pace_catches_up_after_a_slow_tick_and_gives_up_time_after_a_very_slow_one():
    pace = Pace(NS // 100, 1.0, 0)
    now = NS // 20
    assert pace.tick(now) == 0.0
    for _ in range(3):
        assert pace.tick(now) == 0.0
    assert pace.tick(now) == 0.0
    assert pace.tick(now) == pytest.approx(0.01)
    now += NS
    assert pace.tick(now) == 0.0
    assert pace.due == now
    assert pace.tick(now) == pytest.approx(0.01)
    assert pace.measure(now) < 0.1


def test_pace_without_a_factor_never_waits():
    pace = Pace(NS // 100, 0.0, 0)
    assert [pace.tick(0) for _ in range(5)] == [0.0] * 5
    assert pace.measure(NS // 100) == pytest.approx(5.0)


# -- cameras ---------------------------------------------------------------------------------------


@pytest.mark.sim
def test_cameras_see_the_cube_where_the_intrinsics_say():
    env = Env(height=180, width=320, distractors=0)
    observation = env.reset("lift", 3)
    color = list(COLORS).index(env.simulation.layout.target)
    world = env.simulation.world
    for view in VIEWS[1:]:
        image = observation.images[view].astype(int)
        assert image.shape == (180, 320, 3)
        others = np.delete(image, color, axis=2).max(axis=2)
        rows, columns = np.nonzero(image[:, :, color] > 1.7 * others + 20)
        assert rows.size > 20
        camera = world.data.camera(view)
        x, y, z = camera.xmat.reshape(3, 3).T @ (
            world.position(env.simulation.layout.target) - camera.xpos
        )
        u, v, w = intrinsics(world, view, 180, 320) @ np.array([x, -y, -z])
        assert np.allclose([columns.mean(), rows.mean()], [u / w, v / w], atol=2.0)
    assert observation.images["wrist"].std() > 5
    env.close()


@pytest.mark.sim
def test_parked_cubes_are_not_seen():
    env = Env(distractors=0)
    seed = next(seed for seed in range(20) if arrange("reach", seed, 0).target == "red")
    for view, image in env.reset("reach", seed).images.items():
        red, green, blue = image.astype(int).transpose(2, 0, 1)
        assert not (green > 1.5 * np.maximum(red, blue) + 20).any(), view
        assert not (blue > 1.5 * np.maximum(red, green) + 20).any(), view
    env.close()


@pytest.mark.sim
def test_one_env_goes_through_all_tasks_and_wordings():
    env = Env(views=("exterior_1",), height=48, width=64)
    for task in TASKS:
        observation = env.reset(task, 0, wording=1)
        assert observation.images["exterior_1"].shape == (48, 64, 3)
        assert observation.instruction == instruction(task, arrange(task, 0), 1)
        assert observation.stamp == 0
    env.close()


@pytest.mark.parametrize("choice", ["disable", "nonsense"])
def test_the_choice_of_the_user_is_kept_and_physics_needs_no_opengl(choice):
    code = (
        "from cosmos3_ros.sim.env import Env; "
        "env = Env(); env.simulation.reset('lift', 0); env.observe()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        env={**os.environ, "MUJOCO_GL": choice},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"RuntimeError: MUJOCO_GL={choice}: ")
    assert "no OpenGL to render with: `apt-get install libegl1 libgl1 libgl1-mesa-dri`" in error


def test_another_environment_goes_on_from_the_present_moment(env):
    env.reset("lift", 4)
    expert = Expert(env.simulation)
    for _ in range(30):
        env.move(expert.act())
    other = Env(views=())
    other.go_on_from(env.simulation)
    assert other.simulation.elapsed == env.simulation.elapsed
    assert other.simulation.instruction == env.simulation.instruction
    still = other.simulation.world.arms[0].tool()
    targets = env.simulation.positions()[:7] + 0.05
    for _ in range(60):
        for simulation in (env.simulation, other.simulation):
            simulation.tick(targets, 0.3)
    assert np.array_equal(env.simulation.positions(), other.simulation.positions())
    assert not np.array_equal(still, other.simulation.world.arms[0].tool())


def test_an_expert_that_takes_over_in_motion_goes_on_with_it(env):
    env.reset("lift", 4)
    expert = Expert(env.simulation)
    for _ in range(12):
        env.move(expert.act())
    hand = env.simulation.world.arms[0]
    before = hand.tool()
    env.move(expert.act())
    moved = (hand.tool() - before) * 15  # m/s
    assert np.linalg.norm(moved) > 0.1
    assert np.linalg.norm(hand.tool_velocity()[0] - moved) < 0.2 * np.linalg.norm(moved)
    wanted = expert.act()[:7]
    going, rest = (
        np.abs(Expert(env.simulation, moving=moving).act()[:7] - wanted).max()
        for moving in (True, False)
    )
    assert going < 0.01 < 0.04 < rest, (going, rest)  # rad
