# SPDX-License-Identifier: Apache-2.0
"""Writing LeRobotDataset v3.0 folders: parquet for numbers, mp4 for cameras, DROID's feature names.

Episodes lie in shards, one parquet and one mp4 per camera each; a shard's line in meta/episodes is
written last, so a folder whose recording was stopped holds whole shards only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.checkpoint_io.atomic_files import write_file, write_text
from ...model.embodiment import Embodiment
from ..options import GroundTruthOptions
from .embodiments.dataset_columns import UNITS_KEY, own_unit
from .episodes import Episode
from .ground_truth import SIMULATED, TRUTH_FEATURE, to_info
from .lerobot.layout import Layout, camera_feature, number_features
from .lerobot_reader import SEPARATOR
from .video_io import video_shape, write_video

RECORDED = "collect.json"  # what a folder is to hold
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
        {
            "name": name,
            "field_name": name,
            "pandas_type": kind,
            "numpy_type": stored,
            "metadata": None,
        }
        for name, kind, stored in (("task_index", "int64", "int64"), ("task", "unicode", "object"))
    ],
    "pandas_version": "2.0.0",
}


def shard_file(folder: Path, pattern: str, shard: int, video_key: str = "") -> Path:
    """Where a shard's data, video or list of episodes lies."""
    place = {
        "chunk_index": shard // _PER_CHUNK,
        "file_index": shard % _PER_CHUNK,
        "video_key": video_key,
    }
    return folder / pattern.format(**place)


def remember(folder: Path, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Begin a recording in a new or empty folder, or go on with it: collect.json says what of.

    ValueError, and nothing is changed, if the folder holds something else; of a recording of which
    no shard is complete nothing is kept.
    """
    file, text = folder / RECORDED, json.dumps(wanted) + "\n"
    if file.is_file():
        begun = any((folder / "meta" / "episodes").rglob("*.parquet"))
        if begun and file.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{folder}: holds a recording with other tasks, seeds or options; expected a new "
                "folder"
            )
    elif folder.is_dir() and any(not part.name.startswith(".") for part in folder.iterdir()):
        raise ValueError(f"{folder}: holds something else; expected an empty or new folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, text)


def has_shard(folder: Path, shard: int) -> bool:
    """Whether a shard is complete."""
    return shard_file(folder, _EPISODES, shard).exists()


def write_shard(
    folder: Path,
    shard: int,
    first: int,
    episodes: Sequence[Episode],
    embodiment: Embodiment,
    layout: Layout | None = None,
) -> None:
    """Write one shard; `first` is the number of its first episode. `finish` numbers its frames.

    layout: other names of the features, one each for state, action and a camera.
    """
    import pyarrow as pa

    lengths, fps = [len(episode) for episode in episodes], round(embodiment.fps)
    ends = np.cumsum(lengths)
    columns: dict[str, Any] = {}
    for name, (field, part) in _numbers(embodiment, episodes, layout).items():
        values = np.concatenate([getattr(episode, field)[:, part] for episode in episodes]).astype(
            np.float32
        )
        flat, width = pa.array(values.ravel()), values.shape[1]
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, width) if width > 1 else flat
    frames = np.concatenate([np.arange(length) for length in lengths])
    numbers = np.repeat(np.arange(first, first + len(episodes)), lengths)
    columns |= {
        "timestamp": (frames / fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": numbers,
    }
    cameras = _cameras(embodiment, layout)
    for view, camera in cameras.items():
        file = shard_file(folder, _VIDEO, shard, camera)
        write_video(
            _parent(file), (picture for episode in episodes for picture in episode.views[view]), fps
        )
    _write_table(_parent(shard_file(folder, _DATA, shard)), pa.table(columns))
    rows = []
    place = {"chunk_index": shard // _PER_CHUNK, "file_index": shard % _PER_CHUNK}
    for number, episode in enumerate(episodes):
        row = {
            "episode_index": first + number,
            "tasks": [SEPARATOR.join(episode.instructions)],
            "length": lengths[number],
        }
        row |= {
            f"{part}/{name}": value
            for part in ("data", "meta/episodes")
            for name, value in place.items()
        }
        for key in cameras.values():
            row |= {f"videos/{key}/{name}": value for name, value in place.items()}
            row[f"videos/{key}/from_timestamp"] = float(ends[number] - lengths[number]) / fps
            row[f"videos/{key}/to_timestamp"] = float(ends[number]) / fps
        row |= {"simulation/task": episode.task, "simulation/seed": episode.seed}
        rows.append(row | _statistics(episode, embodiment, layout))
    file = _parent(shard_file(folder, _EPISODES, shard))
    _write_table(file, pa.Table.from_pylist(rows))


def finish(
    folder: Path,
    shards: int,
    embodiment: Embodiment,
    robot: str,
    commands: Sequence[Sequence[str]] | None = None,
    truth: GroundTruthOptions = SIMULATED,
    layout: Layout | None = None,
) -> None:
    """Number the frames of all shards and write info, tasks and statistics.

    May be called again after more shards.

    commands: for each column of the actions where it was taken from, if it was recorded. truth:
    what the episodes' truth says, if they have one. layout: as the shards were written with.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = [
        pq.read_table(shard_file(folder, _EPISODES, shard)).to_pylist() for shard in range(shards)
    ]
    tasks = sorted({row["tasks"][0] for rows in lists for row in rows})
    begin = 0
    for shard, rows in enumerate(lists):
        begin = _number_frames(folder, shard, rows, begin, tasks)
    labels = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    labels = labels.replace_schema_metadata({"pandas": json.dumps(_TASK_INDEX)})
    _write_table(folder / "meta/tasks.parquet", labels)
    everything = [row for rows in lists for row in rows]
    _write_json(folder / "meta/stats.json", _join_statistics(everything, embodiment, layout))
    known = TRUTH_FEATURE in pq.read_schema(shard_file(folder, _DATA, 0)).names
    shapes = {
        camera: video_shape(shard_file(folder, _VIDEO, 0, camera))
        for camera in _cameras(embodiment, layout).values()
    }
    info = {
        "codebase_version": "v3.0",
        "robot_type": robot,
        "total_episodes": len(everything),
        "total_frames": begin,
        "total_tasks": len(tasks),
        "chunks_size": _PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": round(embodiment.fps),
        "splits": {"train": f"0:{len(everything)}"},
        "data_path": _DATA,
        "video_path": _VIDEO,
        "features": _features(embodiment, shapes, truth if known else None, commands, layout),
    }
    _write_json(folder / "meta/info.json", info)


def _number_frames(
    folder: Path, shard: int, rows: list[dict[str, Any]], begin: int, tasks: Sequence[str]
) -> int:
    """Write the indices of a shard's frames, the first of which is `begin`; return the next one.

    rows: of the shard's episodes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, task = begin, []
    for row in rows:
        row["dataset_from_index"], row["dataset_to_index"] = begin, begin + row["length"]
        begin += row["length"]
        task += [tasks.index(row["tasks"][0])] * row["length"]
    data = shard_file(folder, _DATA, shard)
    table = pq.read_table(data)
    table = table.select(
        [name for name in table.column_names if name not in ("index", "task_index")]
    )
    table = table.append_column("index", pa.array(np.arange(first, begin)))
    numbered = table.append_column("task_index", pa.array(task, pa.int64()))
    _write_table(data, numbered)
    listed = pa.Table.from_pylist(rows)
    _write_table(shard_file(folder, _EPISODES, shard), listed)
    return begin


def episode_seeds(folder: Path, shards: int) -> dict[str, list[int]]:
    """The seeds that the episodes of each simulated task were recorded with."""
    import pyarrow.parquet as pq

    seeds: dict[str, list[int]] = {}
    columns = ["simulation/task", "simulation/seed"]
    for shard in range(shards):
        file = shard_file(folder, _EPISODES, shard)
        for row in pq.read_table(file, columns=columns).to_pylist():
            seeds.setdefault(row["simulation/task"], []).append(row["simulation/seed"])
    return seeds


def _parts(embodiment: Embodiment, layout: Layout | None) -> dict[str, tuple[str, slice]]:
    """The features of states and actions, see `number_features`; named as `layout` says."""
    if layout is None:
        return number_features(embodiment)
    (state,), (action,) = layout.state, layout.action
    return {state: ("states", slice(None)), action: ("actions", slice(None))}


def _cameras(embodiment: Embodiment, layout: Layout | None) -> dict[str, str]:
    """The feature of each view."""
    return {
        view: layout.cameras[view] if layout else camera_feature(view) for view in embodiment.views
    }


def _numbers(
    embodiment: Embodiment, episodes: Sequence[Episode], layout: Layout | None
) -> dict[str, tuple[str, slice]]:
    """The features with numbers; the truth if somebody knows it."""
    known = any(np.isfinite(episode.truth).any() for episode in episodes)
    return {
        **_parts(embodiment, layout),
        **({TRUTH_FEATURE: ("truth", slice(None))} if known else {}),
    }


def _features(
    embodiment: Embodiment,
    shapes: Mapping[str, Sequence[int]],
    truth: GroundTruthOptions | None,
    commands: Sequence[Sequence[str]] | None,
    layout: Layout | None,
) -> dict[str, Any]:
    fps = round(embodiment.fps)
    video = {
        "video.fps": fps,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "has_audio": False,
    }
    features: dict[str, Any] = {}
    for camera, shape in shapes.items():
        names = ["height", "width", "channels"]
        features[camera] = {
            "dtype": "video",
            "shape": list(shape),
            "names": names,
            "info": video,
        }
    for name, (field, part) in _parts(embodiment, layout).items():
        columns = embodiment.action if field == "actions" else embodiment.state
        features[name] = _numbers_feature([column.name for column in columns[part]])
        features[name]["info"] = {UNITS_KEY: [own_unit(column) for column in columns[part]]}
        if field == "actions" and commands:
            features[name]["info"]["commands"] = [list(sources) for sources in commands[part]]
    if truth:
        width = 1 + max((*truth.asked, *truth.around))
        names = [f"{TRUTH_FEATURE}.{number}" for number in range(width)]
        features[TRUTH_FEATURE] = {**_numbers_feature(names), "info": to_info(truth)}
    for name in _INDEX:
        kind = "float32" if name == "timestamp" else "int64"
        features[name] = {"dtype": kind, "shape": [1], "names": None}
    return features


def _numbers_feature(names: list[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": names}


def _statistics(episode: Episode, embodiment: Embodiment, layout: Layout | None) -> dict[str, Any]:
    """Of each number per column, and of each camera per color (in 0..1, as [3, 1, 1])."""
    numbers = _parts(embodiment, layout)
    kept: dict[str, np.ndarray] = {
        name: getattr(episode, field)[:, part] for name, (field, part) in numbers.items()
    }
    row: dict[str, Any] = {}
    for name, values in kept.items():
        parts = {
            "min": values.min(0),
            "max": values.max(0),
            "mean": values.mean(0),
            "std": values.std(0),
        }
        row |= {f"stats/{name}/{key}": value.astype(float).tolist() for key, value in parts.items()}
        row[f"stats/{name}/count"] = [len(values)]
    for view, key in _cameras(embodiment, layout).items():
        pixels = episode.views[view][::8, ::4, ::4].reshape(-1, 3) / 255.0
        parts = {
            "min": pixels.min(0),
            "max": pixels.max(0),
            "mean": pixels.mean(0),
            "std": pixels.std(0),
        }
        row |= {
            f"stats/{key}/{name}": value.reshape(3, 1, 1).tolist() for name, value in parts.items()
        }
        row[f"stats/{key}/count"] = [len(episode)]
    return row


def _join_statistics(
    rows: list[dict[str, Any]], embodiment: Embodiment, layout: Layout | None
) -> dict[str, dict[str, Any]]:
    """The statistics of all episodes together."""
    joined = {}
    for name in (*_parts(embodiment, layout), *_cameras(embodiment, layout).values()):
        part = {
            key: np.array([row[f"stats/{name}/{key}"] for row in rows])
            for key in ("min", "max", "mean", "std")
        }
        count = np.array([row[f"stats/{name}/count"][0] for row in rows], float)
        weight = (count / count.sum()).reshape(-1, *(1,) * (part["mean"].ndim - 1))
        mean = (weight * part["mean"]).sum(0)
        spread = np.sqrt((weight * (part["std"] ** 2 + (part["mean"] - mean) ** 2)).sum(0))
        whole = {"min": part["min"].min(0), "max": part["max"].max(0), "mean": mean, "std": spread}
        joined[name] = {key: value.tolist() for key, value in whole.items()} | {
            "count": [int(count.sum())]
        }
    return joined


def _write_table(file: Path, table: Any) -> None:
    """As a whole or not at all; with checksums, by which damaged numbers are refused."""
    import pyarrow.parquet as pq

    write_file(file, lambda draft: pq.write_table(table, draft, write_page_checksum=True))


def _write_json(file: Path, fields: dict[str, Any]) -> None:
    write_text(file, json.dumps(fields, indent=2) + "\n")


def _parent(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
