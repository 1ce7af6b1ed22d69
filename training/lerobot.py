# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset v3.0 folders: parquet for numbers, mp4 for cameras, DROID's feature names.

Episodes lie in shards, one parquet and one mp4 per camera each; a shard's line in meta/episodes is written last, so a
folder whose recording was stopped holds whole shards only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..model.embodiment import Embodiment
from .episodes import TRUTH, Episode
from .video import read_video, write_video

CAMERAS = {
    "wrist": "observation.images.wrist_image_left",
    "exterior_1": "observation.images.exterior_image_1_left",
    "exterior_2": "observation.images.exterior_image_2_left",
}
# Feature: (which numbers of an episode, their columns).
NUMBERS: dict[str, tuple[str, slice]] = {
    "observation.state.joint_positions": ("states", slice(0, 7)),
    "observation.state.gripper_position": ("states", slice(7, 8)),
    "action.joint_position": ("actions", slice(0, 7)),
    "action.gripper_position": ("actions", slice(7, 8)),
}
_TRUTH = "simulation.truth"
_INDEX = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_PER_CHUNK = 1000  # files in one folder
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
# LeRobot reads its tasks with pandas, and the sentence must become the index of that table.
_TASK_INDEX = {
    "index_columns": ["task"],
    "column_indexes": [],
    "columns": [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": stored, "metadata": None}
        for name, kind, stored in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ],
    "pandas_version": "2.0.0",
}
SEPARATOR = " | "  # between several ways to say the same


def shard_file(folder: Path, pattern: str, shard: int, video_key: str = "") -> Path:
    """Where a shard's data, video or list of episodes lies."""
    place = {"chunk_index": shard // _PER_CHUNK, "file_index": shard % _PER_CHUNK, "video_key": video_key}
    return folder / pattern.format(**place)


def has_shard(folder: Path, shard: int) -> bool:
    """Whether a shard is complete."""
    return shard_file(folder, _EPISODES, shard).exists()


def write_shard(folder: Path, shard: int, first: int, episodes: Sequence[Episode], fps: int) -> None:
    """Write one shard; `first` is the number of its first episode. `finish` numbers its frames."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lengths = [len(episode) for episode in episodes]
    ends = np.cumsum(lengths)
    columns: dict[str, Any] = {}
    for name, (field, part) in {**NUMBERS, _TRUTH: ("truth", slice(0, TRUTH))}.items():
        values = np.concatenate([getattr(episode, field)[:, part] for episode in episodes]).astype(np.float32)
        flat, width = pa.array(values.ravel()), values.shape[1]
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, width) if width > 1 else flat
    frames = np.concatenate([np.arange(length) for length in lengths])
    numbers = np.repeat(np.arange(first, first + len(episodes)), lengths)
    columns |= {"timestamp": (frames / fps).astype(np.float32), "frame_index": frames, "episode_index": numbers}
    for view, key in CAMERAS.items():
        pictures = np.concatenate([episode.views[view] for episode in episodes])
        write_video(_parent(shard_file(folder, _VIDEO, shard, key)), pictures, fps)
    pq.write_table(pa.table(columns), _parent(shard_file(folder, _DATA, shard)))
    rows = []
    for number, episode in enumerate(episodes):
        place = {"chunk_index": shard // _PER_CHUNK, "file_index": shard % _PER_CHUNK}
        row = {
            "episode_index": first + number,
            "tasks": [SEPARATOR.join(episode.instructions)],
            "length": lengths[number],
        }
        row |= {f"data/{name}": value for name, value in place.items()}
        row |= {f"meta/episodes/{name}": value for name, value in place.items()}
        for key in CAMERAS.values():
            row |= {f"videos/{key}/{name}": value for name, value in place.items()}
            row[f"videos/{key}/from_timestamp"] = float(ends[number] - lengths[number]) / fps
            row[f"videos/{key}/to_timestamp"] = float(ends[number]) / fps
        row |= {"simulation/task": episode.task, "simulation/seed": episode.seed}
        rows.append(row | _statistics(episode))
    draft = _parent(shard_file(folder, _EPISODES, shard)).with_suffix(".draft")
    pq.write_table(pa.Table.from_pylist(rows), draft)
    draft.rename(draft.with_suffix(".parquet"))


def finish(folder: Path, shards: int, fps: int, robot: str) -> None:
    """Number the frames of all shards and write info, tasks and statistics; may be called again after more shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = [pq.read_table(shard_file(folder, _EPISODES, shard)).to_pylist() for shard in range(shards)]
    tasks = sorted({row["tasks"][0] for rows in lists for row in rows})
    begin = 0
    for shard, rows in enumerate(lists):
        length, task = sum(row["length"] for row in rows), []
        for row in rows:
            row["dataset_from_index"], row["dataset_to_index"] = begin, begin + row["length"]
            begin += row["length"]
            task += [tasks.index(row["tasks"][0])] * row["length"]
        data = shard_file(folder, _DATA, shard)
        table = pq.read_table(data).select([*NUMBERS, _TRUTH, *_INDEX[:3]])
        table = table.append_column("index", pa.array(np.arange(begin - length, begin)))
        pq.write_table(table.append_column("task_index", pa.array(task, pa.int64())), data)
        pq.write_table(pa.Table.from_pylist(rows), shard_file(folder, _EPISODES, shard))
    labels = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    pq.write_table(labels.replace_schema_metadata({"pandas": json.dumps(_TASK_INDEX)}), folder / "meta/tasks.parquet")
    everything = [row for rows in lists for row in rows]
    _write_json(folder / "meta/stats.json", _join_statistics(everything))
    picture = read_video(shard_file(folder, _VIDEO, 0, CAMERAS["wrist"]), 0, 1).shape[1:]
    info = {
        "codebase_version": "v3.0",
        "robot_type": robot,
        "total_episodes": len(everything),
        "total_frames": begin,
        "total_tasks": len(tasks),
        "chunks_size": _PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(everything)}"},
        "data_path": _DATA,
        "video_path": _VIDEO,
        "features": _features(picture, fps),
    }
    _write_json(folder / "meta/info.json", info)


def read_episodes(folder: str | Path, body: Embodiment) -> Iterator[Episode]:
    """The episodes of a v3.0 folder with DROID's features. ValueError names what is missing or differs."""
    import pyarrow.parquet as pq

    root = Path(folder)
    info = read_info(root)
    if abs(info["fps"] - body.fps) > 0.1:
        raise ValueError(f"{root}: recorded at {info['fps']} Hz, {body.name} needs {body.fps} Hz")
    cameras = {view: CAMERAS[view] for view in body.views}
    if missing := [name for name in (*NUMBERS, *cameras.values()) if name not in info["features"]]:
        raise ValueError(f"{root}: lacks the feature(s) {missing}; it has {sorted(info['features'])}")
    for file in sorted((root / "meta/episodes").glob("*/*.parquet")):
        for row in pq.read_table(file).to_pylist():
            yield _read_episode(root, info, row, cameras)


def read_info(root: Path) -> dict[str, Any]:
    """meta/info.json; ValueError unless it is one of v3.0."""
    file = root / "meta/info.json"
    if not file.exists():
        raise ValueError(f"dataset: missing file {file}")
    info = json.loads(file.read_text(encoding="utf-8"))
    if info.get("codebase_version") != "v3.0":
        raise ValueError(f"{file}: expected codebase_version v3.0, got {info.get('codebase_version')!r}")
    return info


def _read_episode(root: Path, info: dict[str, Any], row: dict[str, Any], cameras: dict[str, str]) -> Episode:
    import pyarrow.parquet as pq

    place = {name: row[f"data/{name}"] for name in ("chunk_index", "file_index")}
    number, fps = row["episode_index"], info["fps"]
    table = pq.read_table(root / info["data_path"].format(**place), filters=[("episode_index", "=", number)])
    read = {name: np.array(table[name].to_pylist(), np.float32).reshape(table.num_rows, -1) for name in NUMBERS}
    known = _TRUTH in table.column_names
    truth = np.array(table[_TRUTH].to_pylist(), np.float32) if known else np.full((table.num_rows, TRUTH), np.nan)
    views = {}
    for view, key in cameras.items():
        place = {name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
        begin = round(row[f"videos/{key}/from_timestamp"] * fps)
        views[view] = read_video(root / info["video_path"].format(video_key=key, **place), begin, row["length"])
    names = list(NUMBERS)
    return Episode(
        views=views,
        states=np.concatenate([read[name] for name in names[:2]], axis=1),
        actions=np.concatenate([read[name] for name in names[2:]], axis=1),
        instructions=tuple(row["tasks"][0].split(SEPARATOR)),
        truth=truth.astype(np.float32),
        task=row.get("simulation/task", ""),
        seed=row.get("simulation/seed", -1),
    )


def _features(picture: tuple[int, ...], fps: int) -> dict[str, Any]:
    video = {"video.fps": fps, "video.codec": "h264", "video.pix_fmt": "yuv420p", "has_audio": False}
    features: dict[str, Any] = {
        key: {"dtype": "video", "shape": list(picture), "names": ["height", "width", "channels"], "info": video}
        for key in CAMERAS.values()
    }
    for name, (_, part) in {**NUMBERS, _TRUTH: ("truth", slice(0, TRUTH))}.items():
        width = part.stop - part.start
        features[name] = {"dtype": "float32", "shape": [width], "names": [f"{name}.{i}" for i in range(width)]}
    for name in _INDEX:
        kind = "float32" if name == "timestamp" else "int64"
        features[name] = {"dtype": kind, "shape": [1], "names": None}
    return features


def _statistics(episode: Episode) -> dict[str, Any]:
    """Of each number per column, and of each camera per colour (in 0..1, as [3, 1, 1])."""
    kept: dict[str, np.ndarray] = {name: getattr(episode, field)[:, part] for name, (field, part) in NUMBERS.items()}
    row: dict[str, Any] = {}
    for name, values in kept.items():
        parts = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
        row |= {f"stats/{name}/{key}": value.astype(float).tolist() for key, value in parts.items()}
        row[f"stats/{name}/count"] = [len(values)]
    for view, key in CAMERAS.items():
        pixels = episode.views[view][::8, ::4, ::4].reshape(-1, 3) / 255.0
        parts = {"min": pixels.min(0), "max": pixels.max(0), "mean": pixels.mean(0), "std": pixels.std(0)}
        row |= {f"stats/{key}/{name}": value.reshape(3, 1, 1).tolist() for name, value in parts.items()}
        row[f"stats/{key}/count"] = [len(episode)]
    return row


def _join_statistics(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The statistics of all episodes together."""
    joined = {}
    for name in (*NUMBERS, *CAMERAS.values()):
        part = {key: np.array([row[f"stats/{name}/{key}"] for row in rows]) for key in ("min", "max", "mean", "std")}
        count = np.array([row[f"stats/{name}/count"][0] for row in rows], float)
        weight = (count / count.sum()).reshape(-1, *(1,) * (part["mean"].ndim - 1))
        mean = (weight * part["mean"]).sum(0)
        spread = np.sqrt((weight * (part["std"] ** 2 + (part["mean"] - mean) ** 2)).sum(0))
        whole = {"min": part["min"].min(0), "max": part["max"].max(0), "mean": mean, "std": spread}
        joined[name] = {key: value.tolist() for key, value in whole.items()} | {"count": [int(count.sum())]}
    return joined


def _write_json(file: Path, fields: dict[str, Any]) -> None:
    file.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def _parent(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
