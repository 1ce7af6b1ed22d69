# SPDX-License-Identifier: Apache-2.0
"""The real `lerobot` opens what is written here, and what it writes is read here.

It lives in an environment of its own
(`make lerobot`, some gigabytes): it wants older libraries than this package.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.data.lerobot_reader import (
    camera_feature,
    make_layout,
    number_features,
    read_episodes,
)
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard

DROID_SIM = EMBODIMENTS["droid_sim"]
DROID_SINGLE_VIEW = EMBODIMENTS["droid_single_view"]

PYTHON = Path(sys.prefix) / "lerobot" / "bin" / "python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="lerobot is not installed: make lerobot"),
]
CAMERA = "observation.images.top"
READ = """
import json, sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

root, decoder, out = sys.argv[1:]
data = LeRobotDataset("local/one", root=root, video_backend=decoder)
later = {"action.joint_position": [k / 15 for k in range(16)]}
chunks = LeRobotDataset("local/one", root=root, video_backend=decoder, delta_timestamps=later)
items = [data[k] for k in range(len(data))]
kept = {name: np.stack([np.asarray(item[name]) for item in items]) for name in data.meta.features}
kept["chunk"] = np.asarray(chunks[5]["action.joint_position"])
np.savez(out, **kept)
stats = {
    name: np.asarray(data.meta.stats[name]["mean"]).ravel().tolist() for name in data.meta.stats
}
tasks = [item["task"] for item in items]
print(json.dumps({"episodes": data.num_episodes, "fps": data.fps, "tasks": tasks, "stats": stats}))
"""
WRITE = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

root, kind, source = sys.argv[1:]
made = np.load(source)
features = {
    "observation.state": {"dtype": "float32", "shape": (8,), "names": [f"s{k}" for k in range(8)]},
    "action": {"dtype": "float32", "shape": (8,), "names": [f"a{k}" for k in range(8)]},
    "CAMERA": {"dtype": kind, "shape": (96, 128, 3), "names": ["height", "width", "channels"]},
}
videos = kind == "video"
data = LeRobotDataset.create("local/two", fps=15, features=features, root=root, use_videos=videos)
for number in range(2):
    kinds = (made[f"{name}{number}"] for name in ("state", "action", "picture"))
    for state, action, picture in zip(*kinds):
        frame = {"observation.state": state, "action": action, "CAMERA": picture}
        frame["task"] = f"task {number}"
        data.add_frame(frame)
    data.save_episode()
data.finalize()
""".replace("CAMERA", CAMERA)


def film(length: int, height: int, width: int, seed: int) -> np.ndarray:
    """A smooth scene that moves a few pixels a frame, uint8 [length, height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    moved = [
        [np.sin((x + 4 * t + 40 * c) / 17 + seed) + np.cos((y - 2 * t) / 11) for c in range(3)]
        for t in range(length)
    ]
    return (127 + 60 * np.moveaxis(np.array(moved), 1, -1)).astype(np.uint8)


def episode(length: int, seed: int) -> Episode:
    walk = np.random.default_rng(seed).normal(0, 1, (length + 1, 8)).astype(np.float32)
    walk[:, 7] = np.arange(length + 1) % 2
    views = {
        view: film(length, 96, 128, seed + number) for number, view in enumerate(DROID_SIM.views)
    }
    nowhere = np.full((length, GroundTruth.WIDTH), np.nan, np.float32)
    return Episode(views, walk[:-1], walk[1:], (f"do {seed}", f"please do {seed}"), nowhere)


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """lerobot's decoders -> LD_LIBRARY_PATH, in which torchcodec finds PyAV's FFmpeg."""
    folder = tmp_path_factory.mktemp("ffmpeg")
    for library in PYTHON.parent.parent.glob(
        "lib/python3*/site-packages/av.libs/lib[as][vw]*.so.*"
    ):
        name = re.sub(r"-\w+(\.so\.\d+).*", r"\1", library.name)
        (folder / name).symlink_to(library)
    return {"pyav": "", "torchcodec": str(folder)}


def run(script: str, *words: str | Path, libraries: str = "") -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "HF_HUB_OFFLINE": "1"}
    environment |= {"LD_LIBRARY_PATH": libraries} if libraries else {}
    command = [PYTHON, "-I", "-c", script, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("decoder", ["pyav", "torchcodec"])
def test_lerobot_reads_what_is_written_here(
    tmp_path: Path, decoders: dict[str, str], decoder: str
) -> None:
    """Every row, every decoded picture, the tasks, the statistics, and a chunk of actions."""
    made = [episode(20, 1), episode(31, 2), episode(24, 3)]
    write_shard(tmp_path / "d", 0, 0, made[:2], DROID_SIM)
    write_shard(tmp_path / "d", 1, 2, made[2:], DROID_SIM)
    finish(tmp_path / "d", 2, DROID_SIM, "panda")
    out = tmp_path / "read.npz"
    said: dict[str, Any] = json.loads(
        run(READ, tmp_path / "d", decoder, out, libraries=decoders[decoder])
    )
    assert (said["episodes"], said["fps"]) == (3, 15)
    assert said["tasks"] == [
        " | ".join(each.instructions) for each in made for _ in range(len(each))
    ]
    read = np.load(out)
    assert np.array_equal(read["index"], np.arange(75))
    assert np.array_equal(read["episode_index"], np.repeat([0, 1, 2], [20, 31, 24]))
    for name, (field, part) in number_features(DROID_SIM).items():
        whole = np.concatenate([getattr(each, field)[:, part] for each in made])
        assert np.array_equal(read[name].reshape(whole.shape), whole), name
        assert np.allclose(said["stats"][name], whole.mean(axis=0), atol=1e-5), name
    assert np.array_equal(read["chunk"], made[0].actions[np.minimum(np.arange(5, 21), 19), :7])
    ours = list(read_episodes(tmp_path / "d", DROID_SIM))
    for view in DROID_SIM.views:
        theirs = np.moveaxis(np.rint(read[camera_feature(view)] * 255), 1, -1)
        decoded = np.concatenate([each.views[view] for each in ours])
        original = np.concatenate([each.views[view] for each in made])
        assert np.array_equal(theirs, decoded), view
        assert np.abs(theirs - original).mean() < 2.5, view


@pytest.mark.parametrize("kind", ["video", "image"])
def test_what_lerobot_writes_is_read_here(tmp_path: Path, kind: str) -> None:
    """lerobot's own writer, codec (AV1) and features: two episodes in one file."""
    made = {f"{name}{number}": value for number in range(2) for name, value in some(number).items()}
    np.savez(tmp_path / "made.npz", **made)
    run(WRITE, tmp_path / "d", kind, tmp_path / "made.npz")
    named = {"state": "observation.state", "action": "action", "exterior_1": CAMERA}
    episodes = list(
        read_episodes(tmp_path / "d", DROID_SINGLE_VIEW, make_layout(DROID_SINGLE_VIEW, named))
    )
    assert [each.instructions for each in episodes] == [("task 0",), ("task 1",)]
    for number, each in enumerate(episodes):
        assert np.array_equal(each.states, made[f"state{number}"])
        assert np.array_equal(each.actions, made[f"action{number}"])
        apart = np.abs(each.views["exterior_1"].astype(int) - made[f"picture{number}"])
        assert apart.max() == 0 if kind == "image" else apart.mean() < 3


def some(number: int) -> dict[str, np.ndarray]:
    made = episode(18 + 7 * number, number)
    return {"state": made.states, "action": made.actions, "picture": made.views["wrist"]}
