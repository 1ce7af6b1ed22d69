# SPDX-License-Identifier: Apache-2.0
"""Actions of clips: on the embedded checkpoint near to the commands, and a dataset that trains."""

import importlib.util
import math

import numpy as np
import pytest

from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.training.data.lerobot_reader import read_episodes, read_info
from cosmos3_ros.training.dynamics.inverse import inverse
from cosmos3_ros.training.dynamics.sources import SourceClip
from cosmos3_ros.training.options import DataOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.train import train


def clip_of(episode, step):
    return SourceClip("demo", episode, np.arange(len(episode)) * step, "panda")


@pytest.mark.sim
def test_the_embedded_checkpoint_reads_what_an_expert_did(tmp_path):
    if importlib.util.find_spec("mujoco") is None:
        pytest.skip("mujoco is not installed")
    from cosmos3_ros.training.data.demonstrations import Demonstration, record

    dynamics = Dynamics(load_policy(embedded_checkpoint(), guidance=1.0))
    episode = record(Demonstration("reach", 1_000_000))
    clip = clip_of(episode, dynamics.embodiment.step)
    (entry,) = inverse(dynamics, [clip], 4, None, tmp_path / "a.csv", {})
    still = 1000 * np.abs(episode.actions[:-1, :7] - episode.states[0, :7]).mean()
    assert entry["windows"] > 2
    assert entry["error"]["mrad"]["mean"] < 15 < 0.2 * still
    assert entry["error"]["gripper"]["differ"] < 0.1
    assert 0 < entry["agreement"]["mrad"]["mean"] < 60


def test_what_was_read_is_a_dataset_that_trains(tmp_path, smallest, dynamics, episode):
    """Overlapping windows, two episodes, and from the dataset two steps of a training."""
    clips = [clip_of(episode(length, length), dynamics.embodiment.step) for length in (20, 8)]
    said = []
    folder = tmp_path / "read"
    log = inverse(dynamics, clips, 8, folder, None, {"checkpoint": "x"}, said.append)
    assert [entry["windows"] for entry in log] == [2, 1]
    assert [bool(entry["agreement"]) for entry in log] == [True, False]
    assert said[0].startswith("demo: 20 frames in 2 window(s)")
    found = list(read_episodes(folder, dynamics.embodiment))
    assert [len(each) for each in found] == [20, 8]
    for each, clip in zip(found, clips, strict=True):
        assert np.allclose(each.states, clip.episode.states, atol=1e-6)
        assert not np.allclose(each.actions, clip.episode.actions, atol=1e-3)
        assert (each.actions[-1] == each.actions[-2]).all()  # nothing is known of the last one
    info = read_info(folder)
    assert info["robot_type"] == "panda"
    about = info["features"]["action.joint_position"]["info"]["commands"]
    assert about == [["inverse_dynamics"]] * 7
    recipe = Recipe(
        start=str(smallest),
        device="cpu",
        data=DataOptions(dataset=str(folder), warm_up=1),
        policy=PolicyTrainingOptions(steps=2, batch=2, warmup=1),
    )
    lines = []
    train(recipe, tmp_path / "out", lines.append)
    losses = [float(line.split(" action ")[1].split()[0]) for line in lines if " action " in line]
    assert losses
    assert all(map(math.isfinite, losses))
    with pytest.raises(ValueError, match=r"read: expected a new or an empty folder"):
        inverse(dynamics, clips, 8, folder, None, {})


def test_a_clip_of_one_frame_and_no_clip_are_refused(tmp_path, dynamics, episode):
    one = clip_of(episode(8), dynamics.embodiment.step).frame()
    with pytest.raises(ValueError, match="demo: expected at least 2 frames, got 1"):
        inverse(dynamics, [one], 8, tmp_path / "a", None, {})
    with pytest.raises(ValueError, match="expected a clip to read, got none"):
        inverse(dynamics, [], 8, tmp_path / "a", None, {})
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match=r"a\.csv exists; expected a new file"):
        inverse(dynamics, [one], 8, None, tmp_path / "a.csv", {})
