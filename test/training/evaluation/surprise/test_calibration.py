# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 calibrate` from episodes to a file by which the policy node judges."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.surprise.meter import load_meter
from cosmos3_ros.model.surprise.reference_file import read_reference
from cosmos3_ros.sim.disturbances import KINDS
from cosmos3_ros.training.evaluation.closed_loop import Trial
from cosmos3_ros.training.evaluation.surprise.calibration import plan
from cosmos3_ros.training.evaluation.surprise.episodes import CALIBRATION, read, record

pytestmark = pytest.mark.sim
OPTIONS = (("num_steps", 1), ("guidance", 1.0), ("future_steps", 1))


def test_a_disturbed_episode_is_kept_and_not_played_twice(tmp_path: Path) -> None:
    trial = Trial(str(tiny_checkpoint()), "reach", 3, limit=1.6, options=OPTIONS)
    said: list[str] = []
    (file,) = record(tmp_path, [(trial, "light")], 1, said.append)
    assert said == ["1/1  reach 3, light: 1.6 s"]
    episode = read(file)
    assert (episode.disturbance, episode.task, episode.seed) == ("light", "reach", 3)
    assert 0.8 <= episode.began <= 1.6
    times = [seen.seconds for seen in episode.seen]
    assert times
    assert max(times) <= episode.seconds
    assert 0 < len(episode.before()) <= len(times)
    comparison = episode.seen[0].comparison
    assert comparison.seen.shape == comparison.predicted.shape == (48, 10, 12)
    assert np.isfinite(comparison.seen).all()
    record(tmp_path, [(trial, "light")], 1, said.append)
    assert len(said) == 1


def test_the_command_writes_what_a_meter_reads(tmp_path: Path, capsys) -> None:
    file = tmp_path / "surprise.safetensors"
    arguments = ["calibrate", str(tiny_checkpoint()), "--task", "reach", "--episodes", "4"]
    arguments += ["--steps", "1", "--workers", "1", "--limit", "1.6", "--out", str(file)]
    arguments += ["--disturbed", "1", "--training-steps", "2"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert f"of 5 episodes; wrote {file}" in said
    assert "network 4/4" in said
    about = read_reference(file).about
    assert about["episodes"] == 5
    assert about["source"] == "closed loop in the simulation: reach"
    assert load_meter(load_policy(tiny_checkpoint(), num_steps=1, guidance=1.0), file).piece == 4


def test_disturbed_episodes_lie_between_the_others_in_turn_of_kinds_and_tasks() -> None:
    found = plan(["reach", "lift"], 6, 5)
    assert [task for task, _, kind in found if not kind] == ["reach", "lift"] * 6
    disturbed = [(number, task, kind) for number, (task, _, kind) in enumerate(found) if kind]
    assert [kind for _, _, kind in disturbed] == [kind for kind in KINDS for _ in range(2)]
    assert [task for _, task, _ in disturbed] == ["reach", "lift"] * 5
    assert max(number for number, _, _ in disturbed) == len(found) - 1
    assert min(number for number, _, _ in disturbed) <= 2
    assert len({seed for _, seed, _ in found}) == len(found)
    assert plan(["reach"], 2, 0) == [("reach", CALIBRATION, ""), ("reach", CALIBRATION + 1, "")]


def test_a_dataset_has_no_disturbances_to_learn_from(tmp_path: Path, capsys) -> None:
    arguments = ["calibrate", str(tiny_checkpoint()), "--dataset", str(tmp_path)]
    assert main([*arguments, "--disturbed", "3"]) == 1
    assert capsys.readouterr().err.startswith("error: --disturbed: expected none with --dataset")


def test_too_few_episodes_are_refused(tmp_path: Path, capsys) -> None:
    arguments = ["calibrate", str(tiny_checkpoint()), "--episodes", "0"]
    assert main(arguments) == 1
    assert capsys.readouterr().err == "error: --episodes: expected 1 to 1000000, got 0\n"
