# SPDX-License-Identifier: Apache-2.0
"""Damaged LeRobot folders: right ones of v3.0 and v2.1, of which a file is damaged or gone.

They are read as trainings, statistics and drafts of embodiments read them.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_damage import Draw, Tree, new_folder, pick
from PIL import Image

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.clip_source import ground_truth_of, make_clips
from cosmos3_ros.training.data.embodiments.dataset_embodiment import embodiment_of_dataset
from cosmos3_ros.training.data.embodiments.dataset_statistics import check_numbers, measure
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.lerobot_reader import camera_episodes, make_layout
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.options import DataOptions

ARM = EMBODIMENTS["droid_single_view"]
CAMERA = "observation.images.top"
FEATURES = {"state": "observation.state", "action": "action", "exterior_1": CAMERA}
LAYOUT = make_layout(ARM, FEATURES)
LENGTHS = (5, 4)  # frames of the episodes
_V21 = {
    "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
}


def write_v3(root: Path, images: bool = False) -> Path:
    """Two episodes in a shard each, as this package writes them; images: PNG in the tables."""
    episodes = [_episode(number, length) for number, length in enumerate(LENGTHS)]
    for number, episode in enumerate(episodes):
        write_shard(root, number, number, [episode], ARM, LAYOUT)
    finish(root, len(episodes), ARM, "arm", layout=LAYOUT)
    (root / "meta/stats.json").unlink()  # which is not read
    if images:
        for number, episode in enumerate(episodes):
            _into_table(root / f"data/chunk-000/file-{number:03d}.parquet", episode)
            (root / f"videos/{CAMERA}/chunk-000/file-{number:03d}.mp4").unlink()
        _edit_info(root, lambda info: info["features"][CAMERA].update(dtype="image"))
    return root


def write_v21(root: Path, images: bool = False) -> Path:
    """The same episodes in the older version: a file each, and lists of JSON."""
    with tempfile.TemporaryDirectory() as place:
        newer = write_v3(Path(place) / "v3", images)
        info = json.loads((newer / "meta/info.json").read_text())
        (root / "meta").mkdir(parents=True)
        (root / "meta/info.json").write_text(
            json.dumps({**info, **_V21, "codebase_version": "v2.1"})
        )
        lines = []
        for number, length in enumerate(LENGTHS):
            known = {"episode_chunk": 0, "episode_index": number, "video_key": CAMERA}
            data, film = (root / path.format(**known) for path in _V21.values())
            data.parent.mkdir(parents=True, exist_ok=True)
            data.write_bytes((newer / f"data/chunk-000/file-{number:03d}.parquet").read_bytes())
            if not images:
                film.parent.mkdir(parents=True, exist_ok=True)
                write_video(film, _episode(number, length).views["exterior_1"], round(ARM.fps))
            lines.append({"episode_index": number, "tasks": [f"pick {number}"], "length": length})
        tasks = [{"task_index": number, "task": f"pick {number}"} for number in range(2)]
        for name, rows in (("episodes", lines), ("tasks", tasks)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (root / f"meta/{name}.jsonl").write_text(text)
    return root


def _episode(number: int, length: int) -> Episode:
    """Joints and gripper that move a little, before a picture that becomes lighter."""
    rising = np.linspace(0.1, 0.5, length + 1, dtype=np.float32)[:, None] + np.zeros(8, np.float32)
    shades = np.arange(length, dtype=np.uint8)[:, None, None, None] * 20
    return Episode(
        views={"exterior_1": np.broadcast_to(shades, (length, 32, 48, 3)).copy()},
        states=rising[:-1],
        actions=rising[1:],
        instructions=(f"pick {number}",),
        truth=np.zeros((length, 0), np.float32),
    )


def _into_table(file: Path, episode: Episode) -> None:
    cells = []
    for picture in episode.views["exterior_1"]:
        png = io.BytesIO()
        Image.fromarray(picture).save(png, "PNG")
        cells.append({"bytes": png.getvalue(), "path": ""})
    pq.write_table(pq.read_table(file).append_column(CAMERA, pa.array(cells)), file)


def _edit_info(root: Path, edit: Any) -> None:
    file = root / "meta/info.json"
    info = json.loads(file.read_text())
    edit(info)
    file.write_text(json.dumps(info))


class Datasets:
    """Damages one of four folders, and has it read in one of the ways in which it is used."""

    def __init__(self) -> None:
        place = new_folder()
        self._trees = [
            Tree(write(place / f"{write.__name__}{images}", images))
            for write in (write_v3, write_v21)
            for images in (False, True)
        ]
        for tree in self._trees:
            for use in (_train, _measure, _draft, _watch):
                use(tree.folder)

    def __call__(self, rng: Draw) -> None:
        """One way is a training in half of all inputs."""
        tree = pick(rng, self._trees)
        tree.damage(rng)
        try:
            pick(rng, (_train, _train, _train, _measure, _draft, _watch))(tree.folder)
        finally:
            tree.restore()


def _train(folder: Path) -> None:
    options = DataOptions(dataset=str(folder), features=FEATURES)
    ground_truth_of(options)
    if not [*make_clips(options, ARM)]:
        raise AssertionError("no clip, and no word of it")


def _measure(folder: Path) -> None:
    check_numbers(folder, ARM, LAYOUT)
    measure(folder, ARM, LAYOUT)


def _draft(folder: Path) -> None:
    embodiment_of_dataset(folder, "arm", small=True)


def _watch(folder: Path) -> None:
    for _ in camera_episodes(folder, CAMERA):
        pass
