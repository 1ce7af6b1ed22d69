# SPDX-License-Identifier: Apache-2.0
"""Reading LeRobotDataset folders, v3.0 and v2.x, with any names of features."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.embodiment.droid_names import droid_image_name
from ...model.embodiment.plausibility import check_states
from ...model.embodiment.spec import JOINTS, Embodiment
from ...model.embodiment.units import to_si
from ...robot.images import decode_bytes
from .embodiments.dataset_columns import dataset_columns
from .episodes import Episode
from .ground_truth import GroundTruth
from .video_io import read_video

TRUTH_FEATURE = "simulation.truth"
SEPARATOR = " | "  # between several ways to say the same


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Which features of a dataset are state, action and images."""

    state: tuple[str, ...]  # features, together in the order of the embodiment's columns
    action: tuple[str, ...]
    cameras: Mapping[str, str]  # view -> feature
    # its numbers for open and for closed; None: as it says, else as the embodiment has them
    gripper: tuple[float, float] | None = None
    units: tuple[str, ...] = ()  # of each column, likewise
    instruction: str = ""  # for episodes without a task


def camera_feature(view: str) -> str:
    """The feature of a view; the names of DROID's cameras are DROID's."""
    return f"observation.images.{droid_image_name(view)}"


def number_features(embodiment: Embodiment) -> dict[str, tuple[str, slice]]:
    """Feature: (which numbers of an episode, their columns), named as DROID's for its kind of arm.

    That is joints and then grippers; poses, and arms that have each its gripper behind its joints,
    are one feature as with LeRobot.
    """
    arm, width = len(embodiment.action) - len(embodiment.discrete), len(embodiment.action)
    if embodiment.kind != JOINTS or any(column.gripper for column in embodiment.action[:arm]):
        parts = {
            "observation.state": ("states", embodiment.state),
            "action": ("actions", embodiment.action),
        }
        return {
            name: (field, slice(0, len(columns)))
            for name, (field, columns) in parts.items()
            if columns
        }
    features = {
        "observation.state.joint_positions": ("states", slice(0, arm)),
        "observation.state.gripper_position": ("states", slice(arm, width)),
        "action.joint_position": ("actions", slice(0, arm)),
        "action.gripper_position": ("actions", slice(arm, width)),
    }
    return {
        name: (field, part) for name, (field, part) in features.items() if part.stop > part.start
    }


def make_layout(
    embodiment: Embodiment,
    features: Mapping[str, Any],
    gripper: Sequence[float] = (),
    instruction: str = "",
    units: Sequence[str] = (),
) -> Layout:
    """The layout of this package's own datasets, except for what `features` names.

    features: "state", "action" or a view -> name or names; gripper: what it says when open and
    when closed; units: of each state column. Raises ValueError.
    """
    known = ("state", "action", *embodiment.views)
    if unknown := sorted(set(features) - set(known)):
        raise ValueError(f"features: unknown {unknown}, expected some of {list(known)}")
    named = {
        key: (value,) if isinstance(value, str) else tuple(value) for key, value in features.items()
    }
    if wrong := [view for view in embodiment.views if len(named.get(view, ("",))) != 1]:
        raise ValueError(
            f"features: expected one name for each camera, got {[named[view] for view in wrong]}"
        )
    if len(gripper) not in (0, 2) or len({*gripper}) == 1:
        raise ValueError(
            f"gripper: expected what it says when open and when closed, got {list(gripper)}"
        )
    own = {
        kind: tuple(
            name for name, (field, _) in number_features(embodiment).items() if field == f"{kind}s"
        )
        for kind in known
    }
    cameras = {
        view: named[view][0] if view in named else camera_feature(view) for view in embodiment.views
    }
    return Layout(
        named.get("state", own["state"]),
        named.get("action", own["action"]),
        cameras,
        (float(gripper[0]), float(gripper[1])) if gripper else None,
        tuple(units),
        instruction,
    )


def usual_features(features: Mapping[str, Any], embodiment: Embodiment) -> dict[str, Any]:
    """What LeRobot's own recordings call the state, the action and the cameras, where ours lack.

    features: of info.json. The result is for `make_layout`.
    """
    own, found = make_layout(embodiment, {}), {}
    for kind, name, ours in (
        ("state", "observation.state", own.state),
        ("action", "action", own.action),
    ):
        if name in features and not all(our in features for our in ours):
            found[kind] = name
    for view, camera in own.cameras.items():
        if camera not in features and (name := f"observation.images.{view}") in features:
            found[view] = name
    return found


def read_episodes(
    folder: str | Path,
    embodiment: Embodiment,
    layout: Layout | None = None,
    rank: int = 0,
    size: int = 1,
    partial: bool = False,
    numbers: Collection[int] | None = None,
) -> Iterator[Episode]:
    """The episodes of a folder at the embodiment's rate: the share of process `rank` of `size`.

    partial: a dataset without states, without actions or without tasks is read too, states and
    actions are NaN then; numbers: only these episodes. ValueError names what is missing or differs.
    """
    root, layout = Path(folder), layout or make_layout(embodiment, {})
    info = read_info(root)
    if partial:
        layout = _present(layout, info["features"])
    check_dataset(root, info, embodiment, layout, partial)
    rows = _rows(root, info)
    if numbers is not None:
        every = list(rows)
        chosen = [row for row in every if row["episode_index"] in numbers]
        if len(chosen) < len({*numbers}):
            raise ValueError(
                f"{root}: expected episodes of 0 to {len(every) - 1}, got {sorted(numbers)}"
            )
        rows = iter(chosen)
    for row in itertools.islice(rows, rank, None, size):
        yield _read_episode(root, info, row, embodiment, layout)


def _present(layout: Layout, features: Mapping[str, Any]) -> Layout:
    """Without the states or the actions of which a dataset has none at all."""
    state, action = (
        names if any(name in features for name in names) else ()
        for names in (layout.state, layout.action)
    )
    return dataclasses.replace(layout, state=state, action=action)


def read_info(root: Path) -> dict[str, Any]:
    """meta/info.json; ValueError unless it is one of v3.0 or v2.x."""
    file = root / "meta/info.json"
    if root.suffix in (".mcap", ".db3") or (root / "metadata.yaml").exists():
        raise ValueError(
            f"dataset: {root} is a rosbag2 recording; first `cosmos3 convert {root} --robot NAME "
            "--out FOLDER`"
        )
    if not file.exists():
        raise ValueError(f"dataset: missing file {file}")
    info = json.loads(file.read_text(encoding="utf-8"))
    if info.get("codebase_version") not in ("v3.0", "v2.1", "v2.0"):
        raise ValueError(
            f"{file}: expected codebase_version v3.0, v2.1 or v2.0, got "
            f"{info.get('codebase_version')!r}"
        )
    return info


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
            dataset_columns(features, names, columns, layout.units, layout.gripper)
        except ValueError as error:
            raise ValueError(f"{root}: {kind} {list(names)} {error}") from None


def read_numbers(root: Path, info: dict[str, Any], names: Sequence[str]) -> np.ndarray:
    """These features of all episodes side by side, as they are in the files: [frames, width]."""
    import pyarrow.parquet as pq

    files = dict.fromkeys(root / _data_file(info, row) for row in _rows(root, info))
    if not files:
        raise ValueError(f"{root}: expected episodes, got none")
    return np.concatenate(
        [_numbers(pq.read_table(file, columns=[*names]), names) for file in files]
    )


def _data_file(info: dict[str, Any], row: dict[str, Any]) -> str:
    """The file of an episode's numbers, below the dataset's folder."""
    place = row.get("place") or {
        name: row[f"data/{name}"] for name in ("chunk_index", "file_index")
    }
    return str(info["data_path"].format(**place))


def _rows(root: Path, info: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said of each episode, in the terms of v3.0."""
    import pyarrow.parquet as pq

    if info["codebase_version"] == "v3.0":
        for file in sorted((root / "meta/episodes").glob("*/*.parquet")):
            yield from pq.read_table(file).to_pylist()
        return
    for line in (root / "meta/episodes.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        place = {
            "episode_chunk": row["episode_index"] // info["chunks_size"],
            "episode_index": row["episode_index"],
        }
        yield row | {"place": place}


def _read_episode(
    root: Path, info: dict[str, Any], row: dict[str, Any], embodiment: Embodiment, layout: Layout
) -> Episode:
    import pyarrow.parquet as pq

    number, where = row["episode_index"], f"{root}: episode {row['episode_index']}"
    file = _data_file(info, row)
    table = pq.read_table(root / file, filters=[("episode_index", "=", number)])
    if not table.num_rows:
        raise ValueError(f"{where}: no rows in {file}")
    states, actions = (_numbers(table, names) for names in (layout.state, layout.action))
    grippers = [column.gripper for column in embodiment.action]
    features = info["features"]
    for values, names, columns in (
        (states, layout.state, embodiment.state),
        (actions, layout.action, embodiment.action),
    ):
        if not names:
            continue
        if not np.isfinite(values).all():
            raise ValueError(
                f"{where}: expected finite numbers in {[*layout.state, *layout.action]}"
            )
        values[:] = to_si(
            values, dataset_columns(features, names, columns, layout.units, layout.gripper)
        )
    try:
        check_states(states, embodiment.state if layout.state else ())
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    tasks = [
        text.strip()
        for task in row.get("tasks") or ()
        for text in task.split(SEPARATOR)
        if text.strip()
    ]
    if not (tasks or layout.instruction):
        raise ValueError(
            f"{where} has no task: say with `instruction` of the recipe's data what is done"
        )
    states, actions = (
        values if names else np.full((table.num_rows, len(columns)), np.nan, np.float32)
        for values, names, columns in (
            (states, layout.state, embodiment.state),
            (actions, layout.action, embodiment.action),
        )
    )
    frames, states, actions = _resampled(states, actions, info["fps"] / embodiment.fps, grippers)
    known = TRUTH_FEATURE in table.column_names
    truth = (
        _numbers(table, (TRUTH_FEATURE,))
        if known
        else np.full((table.num_rows, GroundTruth.WIDTH), np.nan, np.float32)
    )
    return Episode(
        views={
            view: _pictures(root, info, row, table, key)[frames]
            for view, key in layout.cameras.items()
        },
        states=states,
        actions=actions,
        instructions=tuple(tasks) or (layout.instruction,),
        truth=truth[frames],
        task=row.get("simulation/task", ""),
        seed=row.get("simulation/seed", -1),
    )


def _numbers(table: Any, names: Sequence[str]) -> np.ndarray:
    """The features side by side, float32 [rows, width]."""
    parts = [
        np.array(table[name].to_pylist(), np.float32).reshape(table.num_rows, -1) for name in names
    ]
    return np.concatenate(parts, axis=1) if parts else np.zeros((table.num_rows, 0), np.float32)


def _resampled(
    states: np.ndarray, actions: np.ndarray, ratio: float, grippers: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames, states and actions at a rate lower by `ratio`.

    Frames are the newest ones; states and the targets of a step later are interpolated, commands to
    grippers held.
    """
    if abs(ratio - 1) < 0.01:
        return np.arange(len(states)), states, actions
    # in frames of the recording
    times = np.arange(int((len(states) - 1) / ratio + 1e-6) + 1) * ratio
    # action k is where frame k + 1 is to be
    rows, later = np.arange(len(states)), times + ratio - 1
    columns = [np.interp(times, rows, column) for column in states.T]
    held = np.minimum(np.floor(later + 1e-6).astype(int), len(rows) - 1)
    targets = [
        column[held] if gripper else np.interp(later, rows, column)
        for column, gripper in zip(actions.T, grippers, strict=True)
    ]
    frames = np.floor(times + 1e-6).astype(int)
    return (
        frames,
        np.stack(columns, axis=1).astype(np.float32),
        np.stack(targets, axis=1).astype(np.float32),
    )


def _pictures(
    root: Path, info: dict[str, Any], row: dict[str, Any], table: Any, key: str
) -> np.ndarray:
    """All pictures of an episode, uint8 [T, H, W, 3]: from a video, or from the table itself."""
    if info["features"][key]["dtype"] == "image":
        return np.stack(
            [
                decode_bytes(cell["bytes"] or b"", f"{root}: {key}")
                for cell in table[key].to_pylist()
            ]
        )
    place = row.get("place") or {
        name: row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")
    }
    begin = row.get(f"videos/{key}/from_timestamp", 0.0)
    return read_video(
        root / info["video_path"].format(video_key=key, **place), begin, table.num_rows, info["fps"]
    )


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
        for row in itertools.islice(_rows(folder, info), rank, None, size)
    )


def _camera_episode(
    root: Path, info: dict[str, Any], row: dict[str, Any], camera: str
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    import pyarrow.parquet as pq

    where = f"{root}: episode {row['episode_index']}"
    columns = [camera] if info["features"][camera]["dtype"] == "image" else []
    table = pq.read_table(
        root / _data_file(info, row),
        columns=["episode_index", *columns],
        filters=[("episode_index", "=", row["episode_index"])],
    )
    tasks = [text.strip() for task in row.get("tasks") or () for text in task.split(SEPARATOR)]
    if not table.num_rows or not any(tasks):
        raise ValueError(f"{where}: expected frames and a task, which is the caption")
    pictures = _pictures(root, info, row, table, camera)
    return pictures, float(info["fps"]), tuple(text for text in tasks if text)
