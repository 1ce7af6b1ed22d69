# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own evaluation of a checkpoint, and ours of the same one in the same scenes.

In the environment of `make lerobot`; LeRobot is not changed, Meta-World has shorter episodes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.openpi_server import OpenPiServer

PYTHON = Path(sys.prefix) / "lerobot" / "bin" / "python"
pytestmark = [
    pytest.mark.sim,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="lerobot is not installed: make lerobot"),
]
STEPS, EPISODES, ROWS, TASK = 24, 2, 4, "push-back-v3"
PLAYED = ROWS * 4  # steps of a chunk: rows of 50 ms, steps of 12.5
NOTED = """
import json, sys
import numpy as np
from metaworld.sawyer_xyz_env import SawyerXYZEnv

told, begun = [], []
step, reset = SawyerXYZEnv.step, SawyerXYZEnv.reset
SawyerXYZEnv.max_path_length = int(sys.argv[1])

def noted_step(self, action):
    told.append(np.asarray(action, float).tolist())
    return step(self, action)

def noted_reset(self, *given, **named):
    out = reset(self, *given, **named)
    begun.append((len(told), out[0].tolist()))  # of several at one place the last one counts
    return out

SawyerXYZEnv.step, SawyerXYZEnv.reset = noted_step, noted_reset
"""
THEIRS = """
from lerobot.scripts import lerobot_eval

sys.argv[1:] = sys.argv[2:]
lerobot_eval.main()
print(json.dumps([told, dict(begun)]))
"""
OURS = """
from lerobot.envs.metaworld import MetaworldEnv

from cosmos3_ros.training.evaluation.closed_loop import load_once
from cosmos3_ros.training.worlds.metaworld_world import MetaWorld
from cosmos3_ros.training.worlds.rollout import play_policy

class Short(MetaWorld):
    horizon = SawyerXYZEnv.max_path_length

_, _, checkpoint, task, episodes, rows = sys.argv
policy = load_once(checkpoint, (("num_steps", 2), ("guidance", 1.0)))
world = Short("lerobot")
world._open(task)
# until 0.6 LeRobot draws scenes by numpy's own generator, since then by the episode's seed, too
world._env.seeded_rand_vec = hasattr(MetaworldEnv, "_ensure_env")
np.random.seed(1000)
for episode in range(int(episodes)):
    play_policy(policy, world, task, 1000 + episode, int(rows))
print(json.dumps([told, dict(begun)]))
"""


def run(script, *words):
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", NOTED + script, str(STEPS), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def lerobot_eval(checkpoint, out, *more):
    return run(
        THEIRS,
        "--policy.discover_packages_path=cosmos3_ros.training.worlds.lerobot_plugin",
        "--policy.type=cosmos3",
        f"--policy.checkpoint={checkpoint}",
        f"--policy.rows={ROWS}",
        "--policy.num_steps=2",
        "--policy.device=cpu",
        "--env.type=metaworld",
        f"--env.task={TASK}",
        "--eval.batch_size=1",
        f"--eval.n_episodes={EPISODES}",
        f"--output_dir={out}",
        *more,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("random")
    write_tiny(folder, embodiment="metaworld")
    return folder


@pytest.fixture(scope="module")
def ours(checkpoint):
    told, begun = run(OURS, checkpoint, TASK, EPISODES, ROWS)
    return np.array(told), begun


def check_same(theirs, ours):
    """The same scenes to the last bit, and actions but for LeRobot's float32 observations."""
    (told, begun), (own, own_begun) = theirs, ours
    told = np.array(told)
    assert told.shape == own.shape == (STEPS * EPISODES, 4)
    assert {place: begun[place] for place in own_begun} == own_begun
    for first in range(0, len(own), STEPS):
        chunk = slice(first, first + PLAYED)  # the first one of each episode
        np.testing.assert_allclose(told[chunk], own[chunk], atol=1e-5)
    np.testing.assert_allclose(told, own, atol=1e-4)
    assert np.abs(np.diff(own, axis=0)).max() > 0.1  # they move


def test_lerobots_own_evaluation_gives_the_same_actions(checkpoint, ours, tmp_path):
    check_same(lerobot_eval(checkpoint, tmp_path), ours)
    measured = json.loads((tmp_path / "eval_info.json").read_text())
    assert measured["overall"]["n_episodes"] == EPISODES
    assert measured["overall"]["pc_success"] == 0


def test_a_server_gives_them_too(checkpoint, ours, tmp_path):
    def load():
        return load_policy(checkpoint, device="cpu", num_steps=2, guidance=1.0)

    server = OpenPiServer(load)
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        check_same(lerobot_eval(f"ws://127.0.0.1:{port}", tmp_path), ours)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("--eval.batch_size=2", "eval.batch_size: expected 1, got 2"),
        ("--policy.rows=17", "policy.rows: expected 0 to 16, got 17"),
        ("--policy.checkpoint=", "policy.checkpoint: expected a folder, or ws://HOST:PORT"),
    ],
)
def test_what_cannot_be_played_is_refused(checkpoint, tmp_path, more, words):
    with pytest.raises(AssertionError, match=words):
        lerobot_eval(checkpoint, tmp_path, more)
