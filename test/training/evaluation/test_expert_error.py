# SPDX-License-Identifier: Apache-2.0
"""The error against the expert: nothing where nothing is hidden, and the video counts or not."""

import importlib.util
import json

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.evaluation.expert_error import (
    NOISE,
    NONE,
    TRUE,
    ErrorTrial,
    Guesses,
    expert_error,
    report_errors,
)
from cosmos3_ros.training.evaluation.world_model import windows

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module")
def policy():
    return load_policy(tiny_checkpoint(), guidance=1.0)


@pytest.fixture(scope="module")
def window(policy):
    episode = record(Demonstration("reach", 3, height=64, width=96, noise=0.0, astray=0.0))
    return next(windows(policy, episode))


def test_almost_clean_rows_are_the_experts_and_noisy_ones_are_not(policy, window):
    guesses = Guesses(policy, window)
    errors = [np.abs(guesses.at(level, TRUE) - window.rows).max() for level in (1e-3, 0.5, 0.999)]
    assert errors[0] < 0.02  # rad: these weights are random
    assert errors[0] < errors[1] < errors[2]


def test_the_video_is_seen_unless_it_is_noise(policy, window):
    guesses = Guesses(policy, window)
    seen, unseen = guesses.at(0.6, TRUE), guesses.at(0.6, NOISE)
    assert not np.array_equal(seen, unseen)
    assert np.array_equal(seen, guesses.at(0.6, TRUE))
    assert not np.array_equal(unseen, guesses.at(0.6, NONE))
    assert not np.array_equal(unseen, Guesses(policy, window, seed=1).at(0.6, NOISE))


def test_a_table_and_a_json_of_all_levels(tmp_path):
    wanted = Demonstration("reach", 3, height=64, width=96)
    trial = ErrorTrial(str(tiny_checkpoint()), wanted, (("num_steps", 2),))
    out = tmp_path / "errors.json"
    text = report_errors([trial], 1, out, tell=lambda _: None)
    rows = json.loads(out.read_text())["expert error"]
    levels = sorted({row["level"] for row in rows}, reverse=True)
    assert len(levels) == 2
    assert [(row["video"], row["level"]) for row in rows] == [
        (video, level) for video in (NOISE, NONE, TRUE) for level in levels
    ]
    assert all(0 < row["median"] < 3 * row["rms"] for row in rows)
    assert {row["windows"] for row in rows} == {rows[0]["windows"]} != {0}
    assert f"{rows[0]['median']:.1f} ({rows[0]['rms']:.1f})" in text
    assert [line.split()[0] for line in text.splitlines()] == ["video", TRUE, NOISE, NONE, "median"]


def test_without_a_window_there_is_no_figure(monkeypatch):
    monkeypatch.setattr("cosmos3_ros.training.evaluation.expert_error.record", lambda _: None)
    trial = ErrorTrial(str(tiny_checkpoint()), Demonstration("reach", 0))
    with pytest.raises(ValueError, match="expected demonstrations of at least one chunk"):
        expert_error([trial], 1, tell=lambda _: None)
