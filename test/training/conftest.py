# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of the training: random episodes, and a small checkpoint."""

import dataclasses
import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


HAND = ["x", "y", "z", "opening", "commanded_x", "commanded_y", "commanded_z"]


@pytest.fixture(scope="session")
def hand_dataset(tmp_path_factory):
    """A LeRobot dataset in Meta-World's layout: 80 Hz, 7 numbers of state, 4 of action, a camera.

    Two episodes of 48 frames. The hand is commanded along a straight line, 1 mm in y a frame, and
    the truth is where two objects and a goal are; there never is a second object.
    """
    root, length = tmp_path_factory.mktemp("hand"), 48
    for part in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / part).mkdir(parents=True)
    steps = np.tile(np.arange(length), 2)[:, None]
    commanded = np.hstack([0 * steps, 0.6 + 0.001 * steps, 0.2 + 0 * steps])
    effort = np.where(steps < length / 2, -1.0, 0.6)
    place = np.tile([0.1, 0.7, 0.02, np.nan, np.nan, np.nan, 0.0, 0.85, 0.1], (2 * length, 1))
    columns = {
        "observation.state": np.hstack([commanded - 0.01, 0.5 + 0 * steps, commanded]),
        "action": np.hstack([commanded + np.array([0, 0.001, 0]), effort]),
        "simulation.truth": place,
    }
    shades = np.random.default_rng(0).integers(0, 256, (4, 60, 60, 3), dtype=np.uint8)
    files = [bytes(cv2.imencode(".png", shade)[1]) for shade in shades]
    rows = {name: list(values.astype(np.float32)) for name, values in columns.items()}
    rows |= {
        "observation.image": [{"bytes": files[step % 4], "path": ""} for step in steps[:, 0]],
        "episode_index": np.repeat([0, 1], length),
        "frame_index": steps[:, 0],
    }
    pq.write_table(pa.table(rows), root / "data/chunk-000/file-000.parquet")
    said = [
        {"episode_index": number, "tasks": [task], "length": length}
        | {"data/chunk_index": 0, "data/file_index": 0}
        for number, task in enumerate(["Push the puck to a goal", "Open a drawer"])
    ]
    pq.write_table(pa.Table.from_pylist(said), root / "meta/episodes/chunk-000/file-000.parquet")
    names = {"observation.state": HAND, "action": ["x", "y", "z", "effort"]}
    features = {
        name: {"dtype": "float32", "shape": [values.shape[1]], "names": names.get(name)}
        for name, values in columns.items()
    }
    features["observation.image"] = {"dtype": "image", "shape": [60, 60, 3]}
    path = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    info = {"codebase_version": "v3.0", "fps": 80, "chunks_size": 1000, "data_path": path}
    (root / "meta/info.json").write_text(json.dumps({**info, "features": features}))
    return root
