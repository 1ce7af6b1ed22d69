# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the training: random episodes, and a small checkpoint."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.ground_truth import GroundTruth

DROID_SIM = EMBODIMENTS["droid_sim"]


@pytest.fixture(scope="session")
def episode():
    """A function that makes a random episode of `length` steps."""
    return _episode


def _episode(length=24, seed=0):
    random = np.random.default_rng(seed)
    state = (
        np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0])
        + random.uniform(-0.1, 0.1, 8) * [1] * 7
        + [0]
    )
    walk = np.cumsum(random.normal(0, 0.01, (length + 1, 8)), axis=0) + state
    walk[:, 7] = np.arange(length + 1) > length / 2
    views = {
        view: random.integers(0, 256, (length, 36, 64, 3), dtype=np.uint8)
        for view in DROID_SIM.views
    }
    states, actions = walk[:-1].astype(np.float32), walk[1:].astype(np.float32)
    return Episode(
        views,
        states,
        actions,
        ("pick up the red cube",),
        np.full((length, GroundTruth.WIDTH), 0.3, np.float32),
    )


@pytest.fixture(scope="session")
def tiny_small(tmp_path_factory):
    """The folder of a small checkpoint with random weights; not to be written into."""
    from cosmos3_ros.model.checkpoint_io.tiny import write_tiny

    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    write_tiny(
        folder, config=dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
    )
    return folder
