# SPDX-License-Identifier: Apache-2.0
"""Poses of robots without a state, from window to window."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.dynamics.pose_chain import carried_to, counted_from

UMI = dataclasses.replace(EMBODIMENTS["umi"], state=())


def test_what_is_counted_from_a_pose_is_carried_back_to_it():
    random = np.random.default_rng(0)
    values = random.normal(0, 0.3, (9, 8)).astype(np.float32)
    values[:, 3:7] /= np.linalg.norm(values[:, 3:7], axis=1, keepdims=True)
    led = values[0]
    moved = counted_from(values, led, UMI)
    assert moved[0, :3] == pytest.approx(0, abs=1e-6)
    assert np.abs(moved[0, 3:7]) == pytest.approx([0, 0, 0, 1], abs=1e-6)
    assert (moved[:, 7] == values[:, 7]).all()  # the gripper counts from nothing
    back = carried_to(moved, led, UMI)
    assert np.abs(back[:, :3] - values[:, :3]).max() < 1e-5
    assert np.abs(np.abs((back[:, 3:7] * values[:, 3:7]).sum(axis=1)) - 1).max() < 1e-5


def test_a_quarter_turn_turns_what_follows():
    led = np.array([1, 0, 0, 0, 0, np.sqrt(0.5), np.sqrt(0.5), 0], np.float32)  # about z
    ahead = np.array([[0.5, 0, 0, 0, 0, 0, 1, 1]], np.float32)
    assert carried_to(ahead, led, UMI)[0, :3] == pytest.approx([1, 0.5, 0], abs=1e-6)


def test_all_other_embodiments_and_first_windows_stay():
    values = np.ones((2, 8), np.float32)
    assert carried_to(values, None, UMI) is values
    assert carried_to(values, values[0], EMBODIMENTS["droid_sim"]) is values
    known = dataclasses.replace(UMI, state=UMI.action)
    assert counted_from(values, values[0], known) is values
