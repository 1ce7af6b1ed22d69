# SPDX-License-Identifier: Apache-2.0
"""A dataset of an SO-101-like arm: degrees, a gripper from 0 to 100, two cameras of other sizes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MOTORS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
CAMERAS = {"observation.images.front": (48, 64, 40), "observation.images.wrist": (36, 64, 200)}
LENGTHS = (40, 30)


def numbers(length: int, seed: int) -> np.ndarray:
    """States in degrees; the last motor hardly moves, the gripper closes from 90 to 5."""
    random = np.random.default_rng(seed)
    walk = np.cumsum(random.normal(0, 1.0, (length + 1, 5)), axis=0)
    arm = walk + np.array([10, -60, 45, 30, 0])
    arm[:, 4] = 0.01 * np.arange(length + 1) / length
    return np.hstack([arm, np.linspace(90, 5, length + 1)[:, None]]).astype(np.float32)


def _picture(key: str, seed: int) -> bytes:
    height, width, shade = CAMERAS[key]
    small = np.random.default_rng([seed, shade]).integers(-30, 30, (6, 8, 1)) + shade
    large = cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return bytes(cv2.imencode(".png", np.repeat(large[..., None], 3, axis=2))[1])


@pytest.fixture
def so101(tmp_path: Path) -> Callable[..., Path]:
    """Function that writes the dataset; changes: of info.json's features, by name."""

    def write(scale: float = 1.0, **changes: Any) -> Path:
        folder = tmp_path / "so101"
        for part in ("data/chunk-000", "meta/episodes/chunk-000"):
            (folder / part).mkdir(parents=True)
        series = [numbers(length, seed) * scale for seed, length in enumerate(LENGTHS)]
        rows = {
            "observation.state": [row.tolist() for each in series for row in each[:-1]],
            "action": [row.tolist() for each in series for row in each[1:]],
            "episode_index": np.repeat(np.arange(len(LENGTHS)), LENGTHS),
        }
        for key in CAMERAS:
            shown = {"bytes": _picture(key, 0), "path": ""}
            rows[key] = [shown] * sum(LENGTHS)
        pq.write_table(pa.table(rows), folder / "data/chunk-000/file-000.parquet")
        place = {"data/chunk_index": 0, "data/file_index": 0}
        episodes = [
            {"episode_index": number, "tasks": ["stack"], "length": length, **place}
            for number, length in enumerate(LENGTHS)
        ]
        pq.write_table(
            pa.Table.from_pylist(episodes), folder / "meta/episodes/chunk-000/file-000.parquet"
        )
        motors = {"dtype": "float32", "shape": [6], "names": [f"{name}.pos" for name in MOTORS]}
        features: dict[str, Any] = {
            "observation.state": motors,
            "action": dict(motors),
            **{
                key: {
                    "dtype": "image",
                    "shape": [height, width, 3],
                    "names": ["height", "width", "channels"],
                }
                for key, (height, width, _) in CAMERAS.items()
            },
        }
        for name, change in changes.items():
            features[name.replace("__", ".")] |= change
        info = {
            "codebase_version": "v3.0",
            "fps": 30,
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "features": features,
        }
        (folder / "meta/info.json").write_text(json.dumps(info))
        return folder

    return write
