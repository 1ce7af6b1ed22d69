# SPDX-License-Identifier: Apache-2.0
"""Demonstrations, datasets and closed-loop evaluation in the simulation."""

import importlib.util
import math

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.sim.kinematics import yaw_of
from cosmos3_ros.sim.tasks import TASKS
from cosmos3_ros.training.data.demonstrations import Demonstration, begin, collect, record
from cosmos3_ros.training.data.episodes import make_clip, window_begins
from cosmos3_ros.training.data.ground_truth import TURN_RADIUS, GroundTruth
from cosmos3_ros.training.data.lerobot_reader import read_episodes, read_info
from cosmos3_ros.training.data.lerobot_writer import remember
from cosmos3_ros.training.evaluation.closed_loop import Trial, play

DROID_SIM = EMBODIMENTS["droid_sim"]

pytestmark = pytest.mark.sim


def wanted(count, **options):
    return [Demonstration("reach", seed, height=64, width=96, **options) for seed in range(count)]


@pytest.mark.parametrize("task", ["lift", "bowl", "drawer"])
def test_a_demonstration_is_complete_and_repeatable(task):
    first, again = (
        record(Demonstration(task, 4, height=64, width=96, astray=1.0)) for _ in range(2)
    )
    assert np.array_equal(first.actions, again.actions)
    assert len(first.instructions) == len(TASKS[task].wordings) - 1
    assert np.isfinite(first.truth[:, GroundTruth.TARGET]).all()
    assert np.isfinite(first.truth[:, GroundTruth.GOAL]).all() == (task == "bowl")
    turns = np.hypot(*first.truth[:, GroundTruth.TURN].T)  # of the named cube
    assert np.isnan(turns).all() if task == "drawer" else np.allclose(turns, TURN_RADIUS)
    # rad/s: smooth from wherever it began
    assert np.abs(np.diff(first.actions[:, :7], axis=0)).max() * 15 < 2.0


def test_looking_now_and_then_changes_nothing_but_the_pictures():
    whole = record(Demonstration("lift", 5, height=64, width=96))
    begins = window_begins(5, stride=9, opening=2)
    thin = record(Demonstration("lift", 5, height=64, width=96), begins)
    assert thin.looks[:4].tolist() == [0, 2, 5, 14]
    assert np.array_equal(thin.actions, whole.actions)
    for view, frames in thin.views.items():
        assert np.array_equal(frames, whole.views[view][thin.looks])
    clips = [make_clip(each, DROID_SIM, stride=9, opening=2) for each in (thin, whole)]
    assert [clip.whole for clip in clips] == [False, True]
    assert np.array_equal(clips[0].rows, clips[1].rows)
    assert np.array_equal(
        clips[0].frames[clips[0].window(17)[:, 0]], clips[1].frames[clips[1].window(17)[:, 0]]
    )


@pytest.mark.parametrize("options", [{"astray": 0.0, "scatter": 1.0}])
def test_a_demonstration_may_begin_anywhere_over_the_table(options):
    begun = [
        record(Demonstration("reach", seed, height=64, width=96, **options)) for seed in range(6)
    ]
    solved = [episode for episode in begun if episode is not None]
    assert len(solved) >= 5
    assert np.stack([episode.states[0, :7] for episode in solved]).std(axis=0).max() > 0.2


def test_hands_begin_over_cubes_turned_in_any_way_and_end_as_they_lie():
    env, wrong = Env(views=()), []
    for seed in range(30):
        begin(
            env, Demonstration("lift", seed, astray=0.0, scatter=1.0), np.random.default_rng(seed)
        )
        world, cube = env.simulation.world, env.simulation.layout.target
        gap = world.tool() - world.position(cube)
        if np.hypot(*gap[:2]) < 0.03 and gap[2] < 0.1:
            wrong.append(
                math.degrees(
                    math.remainder(world.yaw(cube) - yaw_of(world.tool_rotation()), math.pi / 2)
                )
            )
            assert world.position(cube)[2] < 0.03, "it lies where it was"
            expert = Expert(env.simulation)
            while not env.success:
                env.step(expert.act())
                assert env.simulation.elapsed < 15 * NS
    assert 8 < len(wrong) < 22, "half of them"
    assert np.std(wrong) > 15


def test_a_dataset_is_read_as_it_was_recorded(tmp_path):
    collect(tmp_path, wanted(3), workers=1, per_shard=2, tell=lambda _: None)
    info = read_info(tmp_path)
    assert (info["total_episodes"], info["fps"], info["splits"]) == (3, 15, {"train": "0:3"})
    read = list(read_episodes(tmp_path, DROID_SIM))
    for made, back in zip(map(record, wanted(3)), read, strict=True):
        assert np.array_equal(made.states, back.states)
        assert np.array_equal(made.actions, back.actions)
        assert np.array_equal(made.truth, back.truth, equal_nan=True)
        assert made.instructions == back.instructions
        assert (made.task, made.seed) == (back.task, back.seed)
        for view in made.views:
            assert np.abs(made.views[view].astype(int) - back.views[view]).mean() < 5
    assert info["total_frames"] == sum(map(len, read))


def test_a_stopped_recording_goes_on_and_a_different_one_is_refused(tmp_path):
    collect(tmp_path, wanted(2), workers=1, per_shard=1, tell=lambda _: None)
    kept = tmp_path / "data/chunk-000/file-000.parquet"
    video = next((tmp_path / "videos").rglob("file-000.mp4"))
    before, when = kept.read_bytes(), video.stat().st_mtime_ns
    (tmp_path / "meta/episodes/chunk-000/file-001.parquet").unlink()
    said = []
    collect(tmp_path, wanted(2), workers=1, per_shard=1, tell=said.append)
    assert len(said) == 1
    assert kept.read_bytes() == before
    assert video.stat().st_mtime_ns == when
    with pytest.raises(ValueError, match="other tasks, seeds or options"):
        collect(tmp_path, wanted(3), workers=1, per_shard=1)


def test_nothing_is_recorded_over_what_is_there(tmp_path):
    wanted = [Demonstration("reach", 0)]
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text("{}")  # a dataset of somebody
    with pytest.raises(ValueError, match="holds something else; expected an empty or new folder"):
        collect(tmp_path, wanted, 1)
    assert (tmp_path / "meta" / "info.json").read_text() == "{}"
    assert [file.name for file in tmp_path.iterdir()] == ["meta"]


def test_a_recording_without_a_shard_is_begun_anew(tmp_path):
    remember(tmp_path, [{"task": "lift"}])
    remember(tmp_path, [{"task": "reach"}])
    (tmp_path / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (tmp_path / "meta" / "episodes" / "chunk-000" / "file-003.parquet").touch()
    remember(tmp_path, [{"task": "reach"}])
    with pytest.raises(ValueError, match="holds a recording with other tasks, seeds or options"):
        remember(tmp_path, [{"task": "lift"}])


def test_reading_names_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match="missing file"):
        list(read_episodes(tmp_path, DROID_SIM))
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"codebase_version": "v1.6"}')
    with pytest.raises(
        ValueError, match=r"expected codebase_version v3\.0, v2\.1 or v2\.0, got 'v1\.6'"
    ):
        list(read_episodes(tmp_path, DROID_SIM))


class Demonstrator:
    """A policy that knows the demonstration by heart."""

    embodiment = DROID_SIM

    def __init__(self, actions):
        self._actions = actions

    def reset(self):
        pass

    def infer(self, observation, committed=None):
        from cosmos3_ros.model.interface import NS, ActionChunk, Prediction

        row = round(observation.stamp / (NS / 15))
        rows = self._actions[np.minimum(np.arange(row, row + 16), len(self._actions) - 1)]
        embodiment = self.embodiment
        return Prediction(
            ActionChunk(
                rows,
                embodiment.action_names,
                observation.stamp,
                embodiment.step,
                embodiment.discrete,
            ),
            {"all": 0.1},
        )


def test_the_closed_loop_solves_what_the_policy_solves():
    made = record(
        Demonstration("lift", 7, distractors=0, height=64, width=96, noise=0.0, astray=0.0)
    )
    trial = Trial("", "lift", 7, distractors=0, latency=0.0, replan=0.5, limit=8.0)
    env = Env(views=(), distractors=0)
    outcome = play(Demonstrator(made.actions), env, trial)
    idle = play(Demonstrator(made.actions[:1]), env, Trial("", "lift", 7, distractors=0, limit=1.0))
    env.close()
    assert outcome.success
    assert outcome.rejected == 0
    assert outcome.miss < 0.03
    assert not idle.success
