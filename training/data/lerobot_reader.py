# SPDX-License-Identifier: Apache-2.0
"""Reading LeRobotDataset folders, v3.0 and v2.x, with any names of features."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.embodiment.plausibility import check_states
from ...model.embodiment.spec import JOINTS, Embodiment
from ...model.embodiment.units import to_si
from ...robot.images import decode_bytes
from .embodiments.dataset_columns import dataset_columns
from .episodes import Episode, by_task, resampled
from .ground_truth import TRUTH_FEATURE
from .lerobot.layout import (
    Layout,
    camera_feature,
    make_layout,
    number_features,
    usual_features,
)
from .lerobot.metadata import (
    PICTURES,
    data_file,
    read_info,
    read_rows,
    read_tasks,
    video_begin,
    video_file,
)
from .lerobot.tables import feature_numbers, indices, pictures, read_table
from .video_io import read_video, stacked

__all__ = [
    "SEPARATOR",
    "TRUTH_FEATURE",
    "Layout",
    "camera_feature",
    "check_dataset",
    "make_layout",
    "number_features",
    "read_episodes",
    "read_info",
    "read_numbers",
    "usual_features",
]

SEPARATOR = " | "  # between several ways to say the same, in what `collect` writes
_TIME = {"timestamp": {"shape": [1]}}  # s, since the episode began
_LATE, _OFF = 0.5, 0.01  # steps by which a recording may be longer or shorter, and share of them
_COLLECTED = "simulation/task"  # of an episode that `collect` wrote


def read_episodes(
    folder: str | Path,
    embodiment: Embodiment,
    layout: Layout | None = None,
    rank: int = 0,
    size: int = 1,
    partial: bool = False,
    numbers: Collection[int] | None = None,
    whole: bool = False,
    info: dict[str, Any] | None = None,
) -> Iterator[Episode]:
    """The episodes of a folder at the embodiment's rate: the share of process `rank` of `size`.

    One whose frames have several tasks becomes an episode for each (see Episode.own).

    partial: a dataset without states, without actions or without tasks is read too, states and
    actions are NaN then; numbers: only these episodes; whole: as they were recorded, with the first
    of their tasks; info: what `read_info` says of it, if that is known. ValueError names what is
    missing or differs.
    """
    root, layout = Path(folder), layout or make_layout(embodiment, {})
    info = read_info(root) if info is None else info
    if partial:
        layout = _present(layout, info["features"])
    check_dataset(root, info, embodiment, layout, partial)
    tasks, rows = read_tasks(root, info), read_rows(root, info)
    if numbers is not None:
        every = list(rows)
        chosen = [row for row in every if row["episode_index"] in numbers]
        if len(chosen) < len({*numbers}):
            raise ValueError(
                f"{root}: expected episodes of 0 to {len(every) - 1}, got {sorted(numbers)}"
            )
        rows = iter(chosen)
    for row in itertools.islice(rows, rank, None, size):
        yield from _read_episode(root, info, row, tasks, embodiment, layout, whole)


def _present(layout: Layout, features: Mapping[str, Any]) -> Layout:
    """Without the states or the actions of which a dataset has none at all."""
    state, action = (
        names if any(name in features for name in names) else ()
        for names in (layout.state, layout.action)
    )
    return dataclasses.replace(layout, state=state, action=action)


def check_dataset(
    root: Path,
    info: dict[str, Any],
    embodiment: Embodiment,
    layout: Layout,
    partial: bool = False,
) -> None:
    """Before any episode is read: rate, names, order, units, widths; errors have both sides.

    partial: no features at all for the states, or for the actions, will do.
    """
    features = info["features"]
    if missing := [
        name
        for name in (*layout.state, *layout.action, *layout.cameras.values())
        if name not in features
    ]:
        raise ValueError(
            f"{root}: lacks the feature(s) {missing}; it has {sorted(features)}. Recipes name "
            "others in `data.features`"
        )
    if odd := [name for name in layout.cameras.values() if features[name]["dtype"] not in PICTURES]:
        raise ValueError(
            f"{root}: {odd[0]}: expected dtype video or image, got {features[odd[0]]['dtype']!r}"
        )
    slower, same = info["fps"] < embodiment.fps - 0.1, abs(info["fps"] - embodiment.fps) <= 0.1
    if slower or not (same or embodiment.kind == JOINTS):
        why = (
            "pictures between its own are not invented"
            if slower
            else f"{embodiment.kind} cannot be resampled"
        )
        raise ValueError(
            f"{root}: recorded at {info['fps']} Hz, {embodiment.name} needs {embodiment.fps} Hz: "
            f"{why}"
        )
    for kind, names, columns in (
        ("state", layout.state, embodiment.state),
        ("action", layout.action, embodiment.action),
    ):
        if partial and not names:
            continue
        width = sum(int(np.prod(features[name]["shape"])) for name in names)
        if width != len(columns):
            expected = f"{len(columns)}: {[column.name for column in columns]}"
            raise ValueError(
                f"{root}: {kind} {list(names)} has {width} numbers, {embodiment.name} expects "
                f"{expected}"
            )
        try:
            units = layout.units_of(columns, embodiment.state)
            dataset_columns(features, names, columns, units, layout.gripper)
        except ValueError as error:
            raise ValueError(f"{root}: {kind} {list(names)} {error}") from None


def read_numbers(root: Path, info: dict[str, Any], names: Sequence[str]) -> np.ndarray:
    """These features of all episodes side by side, as they are in the files: [frames, width]."""
    files = dict.fromkeys(data_file(root, info, row) for row in read_rows(root, info))
    if not files:
        raise ValueError(f"{root}: expected episodes, got none")
    features = info["features"]
    return np.concatenate(
        [feature_numbers(read_table(file, names), features, names, str(file)) for file in files]
    )


def _read_episode(
    root: Path,
    info: dict[str, Any],
    row: dict[str, Any],
    tasks: Mapping[int, str],
    embodiment: Embodiment,
    layout: Layout,
    whole: bool,
) -> Iterator[Episode]:
    where, features = f"{root}: episode {row['episode_index']}", info["features"]
    table = _table(root, info, row, layout)
    states, actions = _states_and_actions(table, features, embodiment, layout, where)
    said = _wordings(table, row, tasks, layout.instruction, where)
    grippers = [column.gripper for column in embodiment.action]
    frames, states, actions = resampled(states, actions, info["fps"] / embodiment.fps, grippers)
    episode = Episode(
        views={
            view: _pictures(root, info, row, table, key)[frames]
            for view, key in layout.cameras.items()
        },
        states=states,
        actions=actions,
        instructions=said[0],
        truth=_truth(table, features, layout.truth, where)[frames],
        task=str(row.get(_COLLECTED) or ""),
        seed=seed if isinstance(seed := row.get("simulation/seed"), int) else -1,
    )
    yield from (
        [episode]
        if whole
        else by_task(episode, [said[frame] for frame in frames], embodiment.horizon)
    )


def _table(root: Path, info: dict[str, Any], row: dict[str, Any], layout: Layout) -> Any:
    """The rows of an episode, in order and complete."""
    number, features = row["episode_index"], info["features"]
    where, file = f"{root}: episode {number}", data_file(root, info, row)
    images = [key for key in layout.cameras.values() if features[key]["dtype"] == "image"]
    optional = (layout.truth, "task_index", "frame_index", "timestamp")
    table = read_table(file, (*layout.state, *layout.action, *images), optional, number)
    if not table.num_rows:
        raise ValueError(f"{where}: no rows in {file}")
    if table.num_rows != (expected := row.get("length") or table.num_rows):
        raise ValueError(f"{where}: expected {expected} rows in {file}, got {table.num_rows}")
    if "frame_index" in table.column_names:
        order = indices(table, "frame_index", str(file))
        if not np.array_equal(order, np.arange(len(order))):
            raise ValueError(f"{where}: expected frame_index to count from 0 in {file}")
    if "timestamp" in table.column_names:
        times = feature_numbers(table, _TIME, [*_TIME], str(file), np.float64)
        _check_rate(times, info["fps"], where)
    return table


def _check_rate(times: np.ndarray, fps: float, where: str) -> None:
    """ValueError if frames, [T, 1] in s, do not follow each other as `fps` of info.json says."""
    steps = len(times) - 1
    seconds = float(times[-1, 0]) - float(times[0, 0])
    if not abs(seconds * fps - steps) <= _LATE + _OFF * steps:
        raise ValueError(
            f"{where}: timestamp: expected {steps + 1} frames in {steps / fps:.3f} s at {fps} Hz "
            f"as info.json says, got {seconds:.3f} s"
        )


def _states_and_actions(
    table: Any, features: Mapping[str, Any], embodiment: Embodiment, layout: Layout, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """In the embodiment's units, [rows, columns]; NaN where a dataset has none at all."""
    found = []
    for names, columns in ((layout.state, embodiment.state), (layout.action, embodiment.action)):
        if not names:
            found.append(np.full((table.num_rows, len(columns)), np.nan, np.float32))
            continue
        values = feature_numbers(table, features, names, where)
        if not np.isfinite(values).all():
            raise ValueError(
                f"{where}: expected finite numbers in {[*layout.state, *layout.action]}"
            )
        units = layout.units_of(columns, embodiment.state)
        said = dataset_columns(features, names, columns, units, layout.gripper)
        found.append(to_si(values, said).astype(np.float32, copy=False))
    try:
        check_states(found[0], embodiment.state if layout.state else ())
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return found[0], found[1]


def _truth(table: Any, features: Mapping[str, Any], name: str, where: str) -> np.ndarray:
    """Where things are, float32 [rows, K]: K is 0 if no episode knows, NaN if this does not."""
    if name not in features:
        return np.zeros((table.num_rows, 0), np.float32)
    if name not in table.column_names:
        width = int(np.prod(features[name]["shape"]))
        return np.full((table.num_rows, width), np.nan, np.float32)
    return feature_numbers(table, features, (name,), where)


def _wordings(
    table: Any, row: Mapping[str, Any], tasks: Mapping[int, str], instruction: str, where: str
) -> list[tuple[str, ...]]:
    """How what is done in each frame is said: by its own task_index, else by the episode's tasks.

    Sentences of the same meaning stand in one task of what `collect` wrote.
    """

    def parts(text: str) -> tuple[str, ...]:
        ways = text.split(SEPARATOR) if row.get(_COLLECTED) else [text]
        return tuple(way.strip() for way in ways if way.strip()) or default

    default = (instruction,) if instruction.strip() else ()
    if tasks and "task_index" in table.column_names:
        own = indices(table, "task_index", where)
        if unknown := sorted({*own.tolist()} - {*tasks}):
            raise ValueError(f"{where}: task_index {unknown[0]} is not in meta/tasks")
        said = [parts(tasks[index]) for index in own.tolist()]
    else:
        if len(row["tasks"]) > 1:
            raise ValueError(
                f"{where}: expected a task_index for each frame, as it has the tasks {row['tasks']}"
            )
        said = [parts("".join(row["tasks"]))] * table.num_rows
    if not all(said):
        raise ValueError(
            f"{where} has no task: say with `instruction` of the recipe's data what is done"
        )
    return said


def _pictures(
    root: Path, info: dict[str, Any], row: dict[str, Any], table: Any, key: str
) -> np.ndarray:
    """All pictures of an episode, uint8 [T, H, W, 3]: from a video, or from the table itself."""
    where = f"{root}: episode {row['episode_index']}"
    if info["features"][key]["dtype"] == "image":
        shown = [decode_bytes(cell, f"{where}: {key}") for cell in pictures(table, key, where)]
        return stacked(shown, f"{where}: {key}")
    begin = video_begin(root, row, key)
    return read_video(video_file(root, info, row, key), begin, table.num_rows, info["fps"])


def camera_episodes(
    folder: Path, camera: str = "", rank: int = 0, size: int = 1
) -> Iterator[tuple[np.ndarray, float, tuple[str, ...]]]:
    """Of each episode one camera's pictures, uint8 [T, H, W, 3], their rate, and its tasks.

    camera: a feature; empty: the only one that has pictures. ValueError names what is missing.
    """
    info = read_info(folder)
    cameras = [
        name
        for name, feature in info["features"].items()
        if feature.get("dtype") in ("video", "image")
    ]
    if (camera or len(cameras) != 1) and camera not in cameras:
        raise ValueError(f"{folder}: expected one of the cameras {cameras}, got {camera!r}")
    return (
        _camera_episode(folder, info, row, camera or cameras[0])
        for row in itertools.islice(read_rows(folder, info), rank, None, size)
    )


def _camera_episode(
    root: Path, info: dict[str, Any], row: dict[str, Any], camera: str
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    where = f"{root}: episode {row['episode_index']}"
    columns = [camera] if info["features"][camera]["dtype"] == "image" else []
    file = data_file(root, info, row)
    table = read_table(file, columns or ["episode_index"], ("task_index",), row["episode_index"])
    if not table.num_rows:
        raise ValueError(f"{where}: expected frames and a task, which is the caption")
    said = [*dict.fromkeys(_wordings(table, row, read_tasks(root, info), "", where))]
    if len(said) > 1:
        raise ValueError(f"{where}: expected one task, which is the caption, got {len(said)}")
    pictures = _pictures(root, info, row, table, camera)
    return pictures, float(info["fps"]), said[0]
