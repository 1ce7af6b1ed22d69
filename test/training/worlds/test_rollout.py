# SPDX-License-Identifier: Apache-2.0
"""Episodes of worlds: chunks in straight lines at the world's rate, by policies and experts."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS, ActionChunk, Prediction
from cosmos3_ros.training.worlds.rollout import commands, play_expert, play_policy

from .conftest import ROBOT


def chunk(values, step=NS // 20, discrete=()):
    values = np.array(values, np.float32)
    names = ("x", "grip")[: values.shape[1]]
    return ActionChunk(values, names, 0, step, discrete)


def test_rows_are_reached_in_straight_lines_when_they_are_due():
    played = np.array([*commands(chunk([[4.0], [0.0]]), np.array([0.0]), 80.0)])
    assert played[:, 0] == pytest.approx([1, 2, 3, 4, 3, 2, 1, 0])
    played = np.array([*commands(chunk([[4.0], [0.0]]), np.array([0.0]), 80.0, rows=1)])
    assert played[:, 0] == pytest.approx([1, 2, 3, 4])


def test_columns_that_jump_do_so_when_their_row_is_due():
    rows = chunk([[0.0, 1.0], [0.0, 0.0]], discrete=("grip",))
    played = np.array([*commands(rows, np.zeros(2), 40.0)])
    assert played[:, 1].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(("fps", "steps"), [(20.0, 2), (15.0, 1), (5.0, 1), (50.0, 5)])
def test_a_world_of_another_rate_gets_its_own_number_of_steps(fps, steps):
    played = np.array([*commands(chunk([[1.0], [2.0]]), np.array([0.0]), fps)])
    assert len(played) == steps
    due = np.minimum(np.arange(1, steps + 1) / fps * 20, 2.0)
    assert played[:, 0] == pytest.approx(due, abs=1e-6)


class Straight:
    """A policy that sends the joints to where the instruction says."""

    embodiment = ROBOT

    def __init__(self):
        self.asked, self.resets = [], 0

    def reset(self):
        self.resets += 1

    def infer(self, observation, committed=None):
        self.asked.append(observation)
        goal = float(observation.instruction.split()[-1])
        ahead = np.clip(goal - observation.state, -0.02, 0.02)
        rows = observation.state + ahead * np.arange(1, ROBOT.horizon + 1)[:, None]
        values = ActionChunk(
            rows.astype(np.float32),
            ROBOT.action_names,
            observation.stamp,
            ROBOT.step,
            ROBOT.discrete,
        )
        return Prediction(values, {"denoise": 0.5})


def test_a_policy_is_asked_again_after_so_many_rows(ideal):
    policy = Straight()
    result = play_policy(policy, ideal, "1", 0, rows=1)
    assert result.success
    assert result.chunk_seconds == 0.5
    assert policy.resets == 1
    # one row is two steps of the world
    assert [one.stamp for one in policy.asked] == [
        round(2 * k * NS / 30) for k in range(len(policy.asked))
    ]
    assert set(policy.asked[0].images) == set(ROBOT.views)
    assert result.steps == len(ideal.sent) <= 2 * len(policy.asked)
    assert np.array(ideal.sent)[:2, 0] == pytest.approx([0.01, 0.02], abs=1e-6)


def test_an_episode_ends_at_the_horizon(ideal):
    result = play_policy(Straight(), ideal, "1", 1)
    assert (result.success, result.steps) == (False, ideal.horizon)
    assert play_expert(ideal, "3", 1).steps == ideal.horizon
    assert play_expert(ideal, "1", 2).success


def test_what_does_not_fit_is_refused(ideal):
    policy = Straight()
    with pytest.raises(ValueError, match="rows: expected 0 to 16, got 17"):
        play_policy(policy, ideal, "1", 0, rows=17)
    policy.embodiment = EMBODIMENTS["two_arms_sim"]
    with pytest.raises(ValueError, match="expected 8 numbers of state, as ideal has, got 16"):
        play_policy(policy, ideal, "1", 0)
    policy.embodiment = ROBOT
    ideal.views = ("wrist", "top")
    with pytest.raises(ValueError, match=r"expected some of the cameras \['wrist', 'top'\] of id"):
        play_policy(policy, ideal, "1", 0)
    ideal.expert = lambda: None
    with pytest.raises(
        ValueError, match="ideal: has no expert; expected a world with one, or a checkpoint"
    ):
        play_expert(ideal, "1", 0)


def test_what_a_world_raises_in_an_episode_is_said_with_its_name(ideal, monkeypatch):
    def cold(action):
        raise RuntimeError("the oven\nis cold")

    monkeypatch.setattr(ideal, "step", cold)
    said = "^ideal: 1, seed 0: RuntimeError: the oven is cold$"
    for played in (play_expert, lambda *of: play_policy(Straight(), *of)):
        with pytest.raises(ValueError, match=said):
            played(ideal, "1", 0)


def test_a_state_that_is_not_what_the_world_says_is_refused(ideal, monkeypatch):
    monkeypatch.setattr(ideal, "state", ROBOT.state[:7])
    with pytest.raises(ValueError, match=r"^ideal: expected a state of 7 numbers .*, got \[8\]$"):
        play_expert(ideal, "1", 0)


def test_the_only_camera_serves_the_only_view(ideal):
    panel = ROBOT.canvas.panels[0]
    policy = Straight()
    policy.embodiment = dataclasses.replace(
        ROBOT, canvas=dataclasses.replace(ROBOT.canvas, panels=(panel,))
    )
    ideal.views = ("pixels",)
    play_policy(policy, ideal, "1", 0)
    assert set(policy.asked[0].images) == {panel.view}
