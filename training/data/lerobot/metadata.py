# SPDX-License-Identifier: Apache-2.0
"""What a LeRobotDataset folder says of itself: meta/info.json, its episodes and its tasks.

Read strictly: what is missing or cannot be is a ValueError of one line that names file and field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

from ....model.media.lfs_pointer import POINTER, is_pointer
from ....model.media.one_line import is_plain
from .tables import column_names, parquet_rows, row_count

PICTURES = ("video", "image")
_UNITS = "units"
_PLACED = ".place"  # of an episode of v2.x, by its number
_MOST = 2**31  # of an index, a side or a count
_LONGEST = 256  # bytes of a folder's or file's name
_FASTEST = 10_000  # Hz
_PLACE = re.compile(r"\{(\w+)(?::(0?\d?)d)?\}")  # {chunk_index:03d} of a path
_TASK_COLUMNS = ("task", "__index_level_0__")  # of meta/tasks.parquet, as pandas calls its index


def read_info(root: Path) -> dict[str, Any]:
    """meta/info.json; ValueError unless it is a complete one of v3.0 or v2.x."""
    file = root / "meta/info.json"
    if root.suffix in (".mcap", ".db3") or (root / "metadata.yaml").exists():
        raise ValueError(
            f"dataset: {root} is a rosbag2 recording; first `cosmos3 convert {root} --robot NAME "
            "--out FOLDER`"
        )
    if not file.is_file():
        raise ValueError(f"dataset: missing file {file}")
    info = _object(_text(file), str(file))
    if (version := info.get("codebase_version")) not in ("v3.0", "v2.1", "v2.0"):
        raise ValueError(
            f"{file}: expected codebase_version v3.0, v2.1 or v2.0, got {short(version)}"
        )
    fps = info.get("fps")
    rate = isinstance(fps, int | float) and not isinstance(fps, bool) and 0 < fps <= _FASTEST
    _expect(rate, file, info, "fps", f"a number above 0, at most {_FASTEST}")
    _expect(isinstance(info.get("data_path"), str), file, info, "data_path", "a text")
    if info["codebase_version"] != "v3.0":
        _expect(_is_count(info.get("chunks_size"), 1), file, info, "chunks_size", "1 or more")
    _expect(isinstance(info.get("features"), dict), file, info, "features", "a table of features")
    for name, feature in info["features"].items():
        _check_feature(feature, f"{file}: features.{name}")
        if feature["dtype"] == "video":
            _expect(isinstance(info.get("video_path"), str), file, info, "video_path", "a text")
    return info


def read_rows(root: Path, info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said of each episode, in the terms of v3.0; without its statistics.

    ValueError before the first one if there are none, or fewer than info.json says.
    """
    _check_count(root, info)
    seen: set[int] = set()
    for where, row in _rows_v3(root) if info["codebase_version"] == "v3.0" else _rows_v2(root):
        number = row.get("episode_index")
        _expect(_is_count(number), where, row, "episode_index", "0 or more")
        assert isinstance(number, int)  # as was just checked
        if number in seen:
            raise ValueError(f"{where}: expected each episode once, got episode {number} twice")
        seen.add(number)
        if row.get("length") is not None:
            _expect(_is_count(row["length"], 1), where, row, "length", "1 or more")
        if info["codebase_version"] != "v3.0":
            chunk = number // info["chunks_size"]
            row |= {_PLACED: {"episode_chunk": chunk, "episode_index": number}}
        yield {**row, "tasks": _texts(row.get("tasks"), f"{where}: episode {number}: tasks")}


def read_tasks(root: Path, info: Mapping[str, Any]) -> dict[int, str]:
    """The sentence of each task_index; {} if the folder has none."""
    tasks: dict[int, str] = {}
    if info["codebase_version"] == "v3.0":
        file = root / "meta/tasks.parquet"
        rows = _task_rows(file) if file.is_file() else ()
    else:
        file = root / "meta/tasks.jsonl"
        rows = _json_lines(file) if file.is_file() else ()
    for where, row in rows:
        _expect(_is_count(row.get("task_index")), where, row, "task_index", "0 or more")
        _expect(isinstance(row.get("task"), str), where, row, "task", "a text")
        number, task = row["task_index"], row["task"].strip()
        if tasks.setdefault(number, task) != task:
            raise ValueError(f"{where}: expected each task once, got task_index {number} twice")
    return tasks


def data_file(root: Path, info: Mapping[str, Any], row: Mapping[str, Any]) -> Path:
    """The file of an episode's numbers."""
    return _place(root, info, "data_path", row, "data")


def video_file(root: Path, info: Mapping[str, Any], row: Mapping[str, Any], key: str) -> Path:
    """The file of an episode's pictures of one camera."""
    return _place(root, info, "video_path", row, f"videos/{key}", video_key=key)


def video_begin(root: Path, row: Mapping[str, Any], key: str) -> float:
    """When an episode begins in the file of its pictures, s."""
    name = f"videos/{key}/from_timestamp"
    begin = row.get(name, 0.0 if _PLACED in row else None)
    known = isinstance(begin, int | float) and not isinstance(begin, bool)
    if not known or not 0 <= begin < 1e7:
        raise ValueError(
            f"{root}: episode {row['episode_index']}: {name}: expected seconds, got {short(begin)}"
        )
    return float(begin)


def _check_feature(feature: Any, where: str) -> None:
    if not isinstance(feature, dict):
        raise ValueError(f"{where}: expected a table, got {short(feature)}")
    _expect(isinstance(feature.get("dtype"), str), where, feature, "dtype", "a text")
    shape = feature.get("shape")
    sides = isinstance(shape, list) and len(shape) < 8 and all(_is_count(side) for side in shape)
    _expect(sides, where, feature, "shape", "a list of sides")
    if feature["dtype"] in PICTURES:
        whole = len(feature["shape"]) == 3 and all(feature["shape"])
        _expect(whole, where, feature, "shape", "three sides")
    names = feature.get("names")
    named = names is None or isinstance(names, list)
    if isinstance(names, dict):
        named = all(isinstance(part, list) for part in names.values())
    _expect(named, where, feature, "names", "a list")
    info = feature.get("info")
    _expect(info is None or isinstance(info, dict), where, feature, "info", "a table")
    units = (info or {}).get(_UNITS)
    _expect(units is None or isinstance(units, list), where, info or {}, _UNITS, "a list")


def _check_count(root: Path, info: Mapping[str, Any]) -> None:
    """A file of the lists that is gone or cut off at the end of a line is seen by it alone."""
    if info["codebase_version"] == "v3.0":
        listed = sum(map(row_count, _lists_v3(root)))
    else:
        listed = sum(bool(line.strip()) for line in _text(_list_v2(root)).split("\n"))
    said = info.get("total_episodes")
    expected = said if said is not None and _is_count(said, 1) else 1
    if listed < expected:
        raise ValueError(f"{root}: expected {expected} or more episodes, its lists have {listed}")


def _rows_v3(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in _lists_v3(root):
        names = [name for name in column_names(file) if not name.startswith("stats/")]
        yield from ((str(file), row) for row in parquet_rows(file, names))


def _lists_v3(root: Path) -> list[Path]:
    folder = root / "meta/episodes"
    if not folder.is_dir():
        raise ValueError(f"dataset: missing folder {folder}")
    files = sorted(folder.glob("*/*.parquet"))
    return [
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]


def _rows_v2(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _json_lines(_list_v2(root))


def _list_v2(root: Path) -> Path:
    file = root / "meta/episodes.jsonl"
    if not file.is_file():
        raise ValueError(f"dataset: missing file {file}")
    return file


def _task_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    known = column_names(file)
    name = next((name for name in _TASK_COLUMNS if name in known), "task")
    if missing := [column for column in ("task_index", name) if column not in known]:
        raise ValueError(f"{file}: lacks the column(s) {missing}, it has {short(known)}")
    for row in parquet_rows(file, ["task_index", name]):
        yield str(file), {"task_index": row["task_index"], "task": row[name]}


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file, one a line; sentences may hold any other separator of Unicode."""
    for number, line in enumerate(_text(file).split("\n"), 1):
        if line.strip():
            where = f"{file}:{number}"
            yield where, _object(line, where)


def _text(file: Path) -> str:
    data = file.read_bytes()
    if is_pointer(data):
        raise ValueError(f"{file}: {POINTER}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8 ({error.reason} at {error.start})") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not readable as json ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{where}: expected a json object, got {short(fields)}")
    return fields


def _texts(value: Any, where: str) -> list[str]:
    """Sentences: a list of them, one, or none."""
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: expected a list of sentences, got {short(value)}")
    return [text.strip() for text in texts if text.strip()]


def _is_count(value: Any, least: int = 0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < _MOST


def _expect(
    right: bool, where: Path | str, fields: Mapping[str, Any], name: str, expected: str
) -> None:
    if not right:
        got = short(fields[name]) if name in fields else "nothing"
        raise ValueError(f"{where}: {name}: expected {expected}, got {got}")


def _place(
    root: Path,
    info: Mapping[str, Any],
    name: str,
    row: Mapping[str, Any],
    prefix: str,
    **more: str,
) -> Path:
    """A file below `root`, by the template `name` of info.json and what an episode's row says."""
    place: dict[str, Any] = dict(row.get(_PLACED) or {})
    if not place:
        where = f"{root}: episode {row['episode_index']}"
        for key in ("chunk_index", "file_index"):
            _expect(
                _is_count(row.get(f"{prefix}/{key}")), where, row, f"{prefix}/{key}", "0 or more"
            )
            place[key] = row[f"{prefix}/{key}"]
    place |= more
    where, template = f"{root / 'meta/info.json'}: {name}", str(info.get(name, ""))
    known = {found[1] for found in _PLACE.finditer(template)}
    if known - place.keys() or {"{", "}"} & {*_PLACE.sub("", template)} or not template:
        raise ValueError(f"{where}: expected a path with {sorted(place)}, got {short(template)}")

    def written(found: re.Match[str]) -> str:
        value = place[found[1]]
        return format(value, f"{found[2]}d") if found[2] and isinstance(value, int) else str(value)

    below = Path(_PLACE.sub(written, template))
    plain = all(is_plain(part) and len(part.encode()) < _LONGEST for part in below.parts)
    if below.is_absolute() or ".." in below.parts or not plain:
        raise ValueError(f"{where}: expected a path below the dataset, got {short(str(below))}")
    return root / below
