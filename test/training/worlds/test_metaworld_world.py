# SPDX-License-Identifier: Apache-2.0
"""Meta-World itself, in the environment of `make metaworld`, which has an older MuJoCo."""

import json
import os
import subprocess
import sys

import pytest

from cosmos3_ros.training.worlds.own_environment import environment_python

PYTHON = environment_python()
pytestmark = [
    pytest.mark.sim,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="Meta-World is not installed: make metaworld"),
]
PLAYED = """
import json
import numpy as np
from cosmos3_ros.training.worlds.catalog import open_world
from cosmos3_ros.training.worlds.metaworld_world import MetaWorld
from cosmos3_ros.training.worlds.recording import WorldDemonstration, as_said, record
from cosmos3_ros.training.worlds.rollout import play_expert
from cosmos3_ros.training.worlds.world import check_world

found = {}
world = check_world("here", MetaWorld("lerobot"))
first, second = [], []
for start in (first, second):
    world.reset("reach-v3", 1000)
    start.append(world._observed.tolist())
found["again"] = first == second
world.reset("reach-v3", 1001)
found["other"] = world._observed.tolist() != first[0]
found["known"] = np.isfinite(world.truth()).tolist()  # reach-v3 has one object
seen, start = world.observe(), world.command.copy()
raw = world._observed
told = [*raw[:3], 1 - raw[3], *raw[:3]]  # closed rather than open
found["state"] = bool(np.allclose(seen.state, told))
model = world._env.model
found["opening"] = float(raw[3])
said = as_said(world.state, seen.state)[3], as_said(world.commands, np.array([0, 0, 0, 0.1]))[3]
found["as_lerobot"] = [*map(float, said)]
found["moved"] = bool(np.allclose(model.cam("corner2").pos, model.cam("corner4").pos))
found["lerobot_picture"] = bool((seen.images["corner2"] == world._env.render()[::-1, ::-1]).all())
action = np.array([3.0, -0.25, 0.5, 0.6])
target = world.to_command(action)
found["target"] = (target - start)[:3].tolist(), float(target[3])
found["way"] = world.to_action(target).tolist()
world.step(action)
found["added"] = bool(np.allclose(world.command, target))
found["below"] = float(world.to_command(np.array([0, 0, -1.0, 0]))[2] - world.command[2])
found["solved"] = [play_expert(world, "drawer-open-v3", seed).success for seed in (1000, 1001)]
evo1 = MetaWorld("evo1", exam=False)
evo1.reset("push-back-v3", 7)
found["instruction"] = evo1.instruction
picture = evo1.observe().images["corner2"]
found["evo1_picture"] = bool((picture == evo1._env.render()[::-1, ::-1][80:400, 80:400]).all())
wanted = WorldDemonstration("metaworld", "evo1", "button-press-v3", 1_000_000, pulled=1.0)
shown = record(wanted, evo1)
found["shown"] = len(shown), shown.views["corner2"].shape[1:], shown.states.shape[1]
gap = shown.actions[:, :3] - shown.states[:, 4:7]
found["largest_way"] = float(np.abs(gap).max())
print(json.dumps(found))
"""
SCENES = """
import json
import metaworld
import numpy as np
from cosmos3_ros.training.worlds import metaworld_world
from cosmos3_ros.training.worlds.metaworld_world import MetaWorld

scenes = {task: metaworld.MT1(task, seed=4042).train_tasks for task in ("reach-v3", "soccer-v3")}
metaworld_world.mt50_scenes = lambda seed: scenes  # as many
same = []
for task, tasks in scenes.items():
    env = metaworld._init_each_env(  # what gymnasium.make_vec makes of each task
        env_cls=metaworld.ALL_V3_ENVIRONMENTS[task], tasks=tasks, seed=4042
    )
    world = MetaWorld("evo1")
    for episode in range(4):
        env.reset(seed=4042 + episode)
        seen = env.step(np.zeros(4, np.float32))[0][:39]
        world.reset(task, 4042 + episode)
        same.append(bool(np.allclose(seen, world._observed)))
    world.close()
print(json.dumps(same))
"""


DRAWN = """
import json
import pickle
import metaworld
from cosmos3_ros.training.worlds.metaworld_world import mt50_scenes

some = "hammer-v3", "lever-pull-v3", "pick-place-wall-v3", "push-v3", "soccer-v3", "stick-pull-v3"
known = metaworld._env_dict
for task in {*known.MT50_V3} - {*some}:
    del known.MT50_V3[task], known.MT50_V3_ARGS_KWARGS[task]

def numbers(scene):
    said = pickle.loads(scene.data)
    return [*map(float, said["rand_vec"])], said["partially_observable"]

theirs = {task: [] for task in some}
for scene in metaworld.MT50(seed=7).train_tasks:
    theirs[scene.env_name].append(numbers(scene))
ours = {task: [*map(numbers, scenes)] for task, scenes in mt50_scenes(7).items() if scenes}
print(json.dumps([len(ours), ours == theirs, sum(map(len, ours.values()))]))
"""
SEVERAL = """
import json
from cosmos3_ros.training.worlds.catalog import make_world

push, drawer = (make_world("metaworld", "evo1", None, False) for _ in range(2))
pictures = []
for world, task in ((push, "push-v3"), (drawer, "drawer-open-v3"), (push, "push-v3")):
    if world is drawer or not pictures:
        world.reset(task, 7)
    pictures.append(world.observe().images["corner2"])
print(json.dumps([bool((pictures[0] == picture).all()) for picture in pictures]))
"""
CLIPS = """
import json
import torch
from cosmos3_ros.model.embodiment import find_embodiment
from cosmos3_ros.training.options import DataOptions
from cosmos3_ros.training.worlds.live_source import ground_truth_of, make_clips

if __name__ == "__main__":
    options = DataOptions(
        env="metaworld", tasks=("reach-v3", "drawer-close-v3"), episodes=2, whole=0.5, workers=2
    )
    found = [
        (clip.instructions[0], clip.whole, len(clip.frames), clip.rows.shape, len(clip.starts))
        for clip in make_clips(options, find_embodiment("metaworld"))
    ]
    print(json.dumps([found, ground_truth_of(options).asked]))
"""


SOLVED = """
import json
from cosmos3_ros.model.checkpoint_io.foreign import find_checkpoint
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.worlds.catalog import open_world
from cosmos3_ros.training.worlds.rollout import play_policy

world = open_world("metaworld", "evo1", exam=False)
options = {"num_steps": 4, "guidance": 1.0, "future_tokens": False}
policy = load_policy(find_checkpoint("metaworld"), **options)
tasks = "assembly-v3", "button-press-v3", "drawer-open-v3", "window-close-v3"
print(json.dumps([play_policy(policy, world, task, 11, rows=4).success for task in tasks]))
"""


def run(script):
    done = subprocess.run(
        [PYTHON, *(["-c", script] if isinstance(script, str) else [script])],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr  # of a renderer that outlived its library
    return json.loads(done.stdout.splitlines()[-1])


def test_episodes_are_as_the_protocols_have_them():
    found = run(PLAYED)
    assert found["again"]
    assert found["other"]
    assert found["known"] == [True] * 3 + [False] * 3 + [True] * 3
    assert found["state"]
    assert found["moved"]
    assert found["lerobot_picture"]
    assert found["evo1_picture"]
    (way, effort), back = found["target"], found["way"]
    assert way == pytest.approx([0.01, -0.0025, 0.005], abs=1e-6)
    assert effort == pytest.approx(0.6, abs=1e-6)
    assert back == pytest.approx([1.0, -0.25, 0.5, 0.6], abs=1e-4)
    assert found["added"]
    assert found["below"] == pytest.approx(-0.01)
    assert found["solved"] == [True, True]
    assert found["instruction"] == "Push the puck back to a goal"
    length, shape, width = found["shown"]
    assert length > 16
    assert shape == [320, 320, 3]
    assert width == 7
    assert found["largest_way"] <= 0.01 + 1e-6
    assert found["as_lerobot"] == pytest.approx([found["opening"], 0.1])


def test_every_world_of_a_process_draws_its_own_scene():
    assert run(SEVERAL) == [True, False, True]


def test_clips_for_a_training_come_from_processes_with_tasks_of_their_own(tmp_path):
    script = tmp_path / "clips.py"  # what a spawned process imports
    script.write_text(CLIPS)
    clips, asked = run(script)
    assert asked == [0, 1, 2, 6, 7, 8]
    assert {clip[0] for clip in clips} == {"Reach a goal position", "Push and close a drawer"}
    assert {clip[1] for clip in clips} == {True, False}
    for _, whole, frames, shape, windows in clips:
        assert shape == [windows, 17, 7]
        assert frames > windows if whole else frames == windows


def test_scenes_are_those_of_the_vector_environment():
    assert run(SCENES) == [True] * 8


def test_the_scenes_of_the_benchmark_are_those_that_meta_world_draws():
    """After tasks that draw again what lies too close, each in the place that its turn gives it."""
    assert run(DRAWN) == [6, True, 300]


def test_a_checkpoint_of_another_robot_is_refused(tiny_small, tmp_path):
    words = ["eval", str(tiny_small), "--env", "metaworld", "--task", "reach-v3", "--episodes", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "cosmos3_ros.cli", *words, "--workers", "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    assert "expected 7 numbers of state, as metaworld has, got 8" in done.stderr


def test_the_checkpoint_solves_tasks_in_scenes_it_never_saw():
    assert run(SOLVED) == [True] * 4
