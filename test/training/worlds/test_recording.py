# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of worlds as LeRobotDatasets, disturbed and pulled away in mid-task."""

import dataclasses
import json

import numpy as np
import pytest

from cosmos3_ros.training.data.lerobot_reader import read_episodes, usual_features
from cosmos3_ros.training.worlds import recording
from cosmos3_ros.training.worlds.recording import (
    WorldDemonstration,
    collect,
    record,
    recorded_embodiment,
    recorded_layout,
)

PLAIN = WorldDemonstration("ideal", "", "2", 4, noise=0.0, pulled=0.0, rested=0.0)


def test_what_the_expert_meant_is_recorded_though_the_world_is_disturbed(ideal):
    clean = record(PLAIN, ideal)
    assert len(clean) == 4 + 5  # 0.05 rad a step to within 0.05 of 0.2, and 0.2 s at 30 Hz
    assert np.diff(clean.states[:4, 0]) == pytest.approx([0.05] * 3)
    assert clean.actions[:-1] == pytest.approx(clean.states[1:])
    disturbed = [
        record(dataclasses.replace(PLAIN, noise=1.0, seed=seed), ideal) for seed in range(0, 20, 2)
    ]
    off = [np.abs(one.actions[:-1] - one.states[1:]).max() for one in disturbed]
    assert 4 <= sum(gap > 1e-3 for gap in off) <= 9  # of 10 about 7
    for one in disturbed:
        toward = np.clip(0.2 - one.states, -0.05, 0.05)
        assert one.actions == pytest.approx(one.states + toward, abs=1e-6)
    assert clean.instructions == ("go to 0.2",)


def test_a_pull_comes_in_mid_task_and_is_not_recorded(ideal, monkeypatch):
    monkeypatch.setattr(recording, "_LEAD", (2, 3))
    pulled = record(dataclasses.replace(PLAIN, pulled=1.0), ideal)
    assert np.abs(pulled.states[0]).max() > 0.05  # it begins elsewhere
    sent = np.array(ideal.sent)
    assert sent[:2, 0] == pytest.approx([0.05, 0.1])  # the expert led
    assert len(sent) == 2 + 12 + len(pulled)
    assert pulled.actions[-1, 0] == pytest.approx(0.2)
    # A task that is solved meanwhile is shown from its beginning.
    monkeypatch.setattr(recording, "_LEAD", (8, 9))
    assert record(dataclasses.replace(PLAIN, pulled=1.0), ideal).states[0].tolist() == [0.0] * 8


def test_some_demonstrations_begin_after_a_rest_that_is_not_recorded(ideal):
    wanted = [dataclasses.replace(PLAIN, rested=0.5, seed=seed) for seed in range(0, 80, 2)]
    rests = []
    for one in wanted:
        episode = record(one, ideal)
        assert episode.states[0].tolist() == [0.0] * 8
        assert len(episode) == len(record(dataclasses.replace(one, rested=0.0), ideal))
        rests.append(len(record(one, ideal)) - len(ideal.sent))
    assert 10 <= sum(rest < 0 for rest in rests) <= 30  # of 40 about half
    assert min(rests) >= -18  # 0.6 s at 30 Hz
    assert len({*rests}) > 5


def test_failed_demonstrations_are_dropped_and_counted(ideal, tmp_path):
    wanted = [
        dataclasses.replace(PLAIN, task=task, seed=seed) for task in ("1", "3") for seed in range(3)
    ]
    said = []
    dropped = collect(tmp_path / "data", wanted, 1, per_shard=2, tell=said.append)
    assert dropped == {"1": 1, "3": 1}  # the odd seed of each
    assert len(said) == 4  # a shard holds one task only
    assert collect(tmp_path / "data", wanted, 1, per_shard=2, tell=said.append) == dropped
    assert len(said) == 4  # nothing was left to do
    with pytest.raises(ValueError, match="expected a new folder"):
        collect(tmp_path / "data", wanted[:2], 1)
    info = json.loads((tmp_path / "data/meta/info.json").read_text())
    assert (info["fps"], info["total_episodes"]) == (30, 6)
    assert {"observation.state", "action"} <= set(info["features"])
    embodiment = recorded_embodiment(ideal, (36, 64))
    episodes = [*read_episodes(tmp_path / "data", embodiment, recorded_layout(ideal))]
    assert [episode.instructions[0] for episode in episodes] == ["go to 0.1"] * 3 + [
        "go to 0.3"
    ] * 3
    again = record(wanted[0], ideal)
    assert episodes[0].actions == pytest.approx(again.actions)
    assert episodes[0].states == pytest.approx(again.states)
    assert episodes[0].truth[:, 0] == pytest.approx([0.1] * len(again))
    assert np.isnan(episodes[0].truth[:, 1]).all()
    assert info["features"]["simulation.truth"]["info"]["ground_truth"]["asked"] == [0, 1]


def test_one_camera_is_called_as_in_datasets_of_lerobot(ideal, tmp_path):
    ideal.views = ("top",)
    layout = recorded_layout(ideal)
    assert layout.cameras == {"top": "observation.image"}
    assert (layout.state, layout.action) == (("observation.state",), ("action",))
    assert usual_features({"observation.state": {}}, recorded_embodiment(ideal, (36, 64))) == {
        "state": "observation.state"
    }


def test_an_expert_that_always_fails_or_is_not_there_is_said(ideal, monkeypatch):
    monkeypatch.setattr(recording, "_FAR", 2)
    ideal.horizon = 2
    with pytest.raises(ValueError, match="3: the expert failed 20 times from seed 4 on"):
        recording._surely(dataclasses.replace(PLAIN, task="3"), ideal)
    ideal.expert = lambda: None
    with pytest.raises(
        ValueError, match="ideal: has no expert; expected a world with one, or a checkpoint"
    ):
        record(PLAIN, ideal)
