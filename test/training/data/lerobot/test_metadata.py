# SPDX-License-Identifier: Apache-2.0
"""What LeRobot folders of anybody say of themselves, and one line for what cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.data.lerobot_reader import make_layout, read_episodes

ARM = EMBODIMENTS["droid_single_view"]
CAMERA = "observation.images.top"
LAYOUT = make_layout(ARM, {"state": "observation.state", "action": "action", "exterior_1": CAMERA})
DATA, ROWS = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"


def columns(length: int, tasks: list[int] | None = None) -> dict[str, Any]:
    """The numbers and pictures (in the table) of one episode."""
    rows = np.linspace(0, 0.1, length, dtype=np.float32)[:, None] + np.zeros((1, 8), np.float32)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 8)
    png = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    return {
        "observation.state": wide,
        "action": wide,
        CAMERA: pa.array([{"bytes": png, "path": ""}] * length),
        "episode_index": pa.array([0] * length, pa.int64()),
        "frame_index": pa.array(range(length), pa.int64()),
        "task_index": pa.array(tasks or [0] * length, pa.int64()),
    }


def write(root: Path, tasks: tuple[str, ...] = ("pick",), index: list[int] | None = None) -> Path:
    """A folder of v3.0 with one episode of 8 frames."""
    numbers = {"dtype": "float32", "shape": [8], "names": None}
    features = {
        "observation.state": numbers,
        "action": numbers,
        CAMERA: {"dtype": "image", "shape": [48, 64, 3], "names": None},
    }
    info = {"codebase_version": "v3.0", "fps": 15, "features": features}
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    row = {"episode_index": 0, "tasks": [*tasks], "length": 8}
    row |= {"data/chunk_index": 0, "data/file_index": 0}
    for file in (DATA, ROWS):
        (root / file).parent.mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    pq.write_table(pa.Table.from_pylist([row]), root / ROWS)
    pq.write_table(pa.table(columns(8, index)), root / DATA)
    labels = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": [*tasks]})
    pq.write_table(labels, root / "meta/tasks.parquet")
    return root


def read(root: Path, **options: Any) -> list[Any]:
    return list(read_episodes(root, ARM, LAYOUT, **options))


def in_info(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        fields = json.loads((root / "meta/info.json").read_text())
        change(fields)
        (root / "meta/info.json").write_text(json.dumps(fields))

    return edit


def in_table(file: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    return lambda root: pq.write_table(change(pq.read_table(root / file)), root / file)


def column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop([name]).append_column(name, pa.array(values))


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"


def other_task(table: pa.Table) -> pa.Table:
    return column("task", ["place"])(table)


def noise(data: bytes) -> bytes:
    """Another byte in the footer, where the columns are described."""
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:begin] + b"\x0f" + data[begin + 1 :]


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no features": (in_info(lambda i: i.pop("features")), "info.json: features: expected a table"),
    "no fps": (
        in_info(lambda i: i.pop("fps")),
        "fps: expected a number above 0, at most 10000, got nothing",
    ),
    "fps as text": (in_info(lambda i: i.update(fps="15")), "fps: expected .*, got '15'"),
    "fps nan": (in_info(lambda i: i.update(fps=float("nan"))), "fps: expected a number above 0"),
    "fps of a defect": (in_info(lambda i: i.update(fps=1e20)), "fps: expected .*, got 1e\\+20"),
    "no path": (in_info(lambda i: i.pop("data_path")), "data_path: expected a text, got nothing"),
    "path with more": (
        in_info(lambda i: i.update(data_path="{other}/x")),
        r"data_path: expected a path with \['chunk_index', 'file_index'\]",
    ),
    "path outside": (
        in_info(lambda i: i.update(data_path="../{chunk_index}")),
        "data_path: expected a path below the dataset",
    ),
    "path too wide": (
        in_info(lambda i: i.update(data_path="{chunk_index:0999999999d}")),
        "data_path: expected a path with",
    ),
    "feature without shape": (
        in_info(lambda i: i["features"]["action"].pop("shape")),
        r"features\.action: shape: expected a list of sides, got nothing",
    ),
    "feature is text": (
        in_info(lambda i: i["features"].update(action="float32")),
        r"features\.action: expected a table, got 'float32'",
    ),
    "video without path": (
        in_info(lambda i: i["features"][CAMERA].update(dtype="video")),
        "video_path: expected a text, got nothing",
    ),
    "camera of numbers": (
        in_info(lambda i: i["features"][CAMERA].update(dtype="float32")),
        f"{CAMERA}: expected dtype video or image, got 'float32'",
    ),
    "info is a list": (
        lambda root: (root / "meta/info.json").write_text("[]"),
        r"info\.json: expected a json object, got \[\]",
    ),
    "info cut short": (
        lambda root: (root / "meta/info.json").write_text('{"fps": 15'),
        r"info\.json: not readable as json",
    ),
    "info in latin 1": (
        lambda root: (root / "meta/info.json").write_bytes(b'{"robot": "\xe9"}'),
        r"info\.json: expected UTF-8",
    ),
    "no list of episodes": (
        lambda root: (root / ROWS).rename(root / "away"),
        "expected 1 or more episodes, its lists have 0",
    ),
    "no place of the data": (
        in_table(ROWS, lambda t: t.drop(["data/file_index"])),
        "episode 0: data/file_index: expected 0 or more, got nothing",
    ),
    "episode number as text": (
        in_table(ROWS, column("episode_index", ["0"])),
        "episode_index: expected 0 or more, got '0'",
    ),
    "episode twice": (
        in_table(ROWS, lambda t: pa.concat_tables([t, t])),
        "expected each episode once, got episode 0 twice",
    ),
    "longer than its table": (
        in_table(ROWS, column("length", [9])),
        "episode 0: expected 9 rows in .*, got 8",
    ),
    "tasks of numbers": (
        in_table(ROWS, column("tasks", [[1, 2]])),
        "tasks: expected a list of sen",
    ),
    "no state": (
        in_table(DATA, lambda t: t.drop(["observation.state"])),
        r"lacks the column\(s\) \['observation.state'\]",
    ),
    "narrower state": (
        in_table(DATA, column("observation.state", [[0.0] * 7] * 8)),
        "observation.state: expected 8 numbers in each row as info.json says, got 7",
    ),
    "ragged state": (
        in_table(DATA, column("observation.state", [[0.0] * (7 + k % 2) for k in range(8)])),
        "observation.state: expected 8 numbers in each row",
    ),
    "state of words": (
        in_table(DATA, column("observation.state", [["1.0"] * 8] * 8)),
        "observation.state: expected numbers, got list<",
    ),
    "state with a gap": (
        in_table(DATA, column("observation.state", [[0.0] * 8] * 7 + [None])),
        "episode 0: ",
    ),
    "state too large": (
        in_table(DATA, column("observation.state", [[1e300] * 8] * 8)),
        "expected finite numbers",
    ),
    "frames out of order": (
        in_table(DATA, column("frame_index", [0, 1, 3, 2, 4, 5, 6, 7])),
        "expected frame_index to count from 0",
    ),
    "picture missing": (
        in_table(DATA, lambda t: t.drop([CAMERA]).append_column(CAMERA, pa.nulls(8))),
        f"{CAMERA}: expected an encoded picture in row 0, got None",
    ),
    "unknown task": (
        in_table(DATA, column("task_index", [0] * 7 + [4])),
        "episode 0: task_index 4 is not in meta/tasks",
    ),
    "task missing": (
        in_table(DATA, column("task_index", [0] * 7 + [None])),
        "task_index: expected whole numbers, got int64 with 1 missing",
    ),
    "tasks without sentence": (
        in_table("meta/tasks.parquet", lambda t: t.drop(["task"])),
        r"tasks\.parquet: lacks the column\(s\) \['task'\]",
    ),
    "no parquet": (
        lambda root: (root / DATA).write_bytes(b"PAR1 and no more"),
        r"file-000\.parquet: not readable as parquet",
    ),
    "a list of two is away": (
        in_info(lambda i: i.update(total_episodes=2)),
        "expected 2 or more episodes, its lists have 1",
    ),
    "path that no system has": (
        in_info(lambda i: i.update(data_path="y" * 300)),
        "data_path: expected a path below the dataset",
    ),
    "path of two lines": (
        in_info(lambda i: i.update(data_path="a\nb")),
        "data_path: expected a path below the dataset",
    ),
    "info is a pointer": (
        lambda root: (root / "meta/info.json").write_text(POINTER),
        r"info\.json: a pointer of git-lfs",
    ),
    "two sentences for a task": (
        in_table("meta/tasks.parquet", lambda t: pa.concat_tables([t, other_task(t)])),
        "expected each task once, got task_index 0 twice",
    ),
    "parquet of noise": (
        lambda root: (root / DATA).write_bytes(noise((root / DATA).read_bytes())),
        r"file-000\.parquet: not readable as parquet",
    ),
    "names in latin 1": (
        lambda root: (root / DATA).write_bytes(
            (root / DATA).read_bytes().replace(b"task_index", b"t\xe9sk_index")
        ),
        r"file-000\.parquet",
    ),
    "twice as fast": (
        in_table(DATA, lambda t: t.append_column("timestamp", pa.array(np.arange(8) / 30))),
        r"timestamp: expected 8 frames in 0\.467 s at 15 Hz as info\.json says, got 0\.233 s",
    ),
    "data missing": (lambda root: (root / DATA).unlink(), r"missing file .*file-000\.parquet"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_missing_or_cannot_be_is_one_line(tmp_path: Path, name: str) -> None:
    damage, message = WRONG[name]
    damage(write(tmp_path))
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_each_frame_is_taught_with_its_own_task(tmp_path: Path) -> None:
    """Windows begin within a task; what they show goes on beyond its end."""
    write(tmp_path, ("pick it up", "put it down"), [0] * 5 + [1] * 3)
    first, second = read(tmp_path)
    assert (first.instructions, second.instructions) == (("pick it up",), ("put it down",))
    assert (len(first), first.own) == (8, 5)
    assert (len(second), second.own) == (3, 3)
    clips = [make_clip(episode, ARM) for episode in (first, second)]
    assert [clip.starts.tolist() for clip in clips] == [[0, 1, 2, 3, 4], [0, 1, 2]]
    whole = make_clip(read(tmp_path, whole=True)[0], ARM)
    rows = np.concatenate([clip.rows for clip in clips])
    assert np.array_equal(rows, whole.rows)


def test_a_task_that_comes_back_is_two_runs_of_frames(tmp_path: Path) -> None:
    write(tmp_path, ("a", "b"), [0, 0, 1, 1, 1, 0, 0, 0])
    assert [(e.instructions[0], e.own) for e in read(tmp_path)] == [("a", 2), ("b", 3), ("a", 3)]


@pytest.mark.parametrize("tasks", ["press A | B on the panel", ["press A | B on the panel"]])
def test_a_sentence_is_one_task_as_text_or_list(tmp_path: Path, tasks: Any) -> None:
    """Also where only the episode says it."""
    write(tmp_path)
    in_table(ROWS, column("tasks", [tasks]))(tmp_path)
    (tmp_path / "meta/tasks.parquet").unlink()
    (episode,) = read(tmp_path)
    assert episode.instructions == ("press A | B on the panel",)


def test_several_tasks_without_an_index_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ("a", "b"))
    in_table(DATA, lambda table: table.drop(["task_index"]))(tmp_path)
    with pytest.raises(ValueError, match="expected a task_index for each frame"):
        read(tmp_path)


def test_pandas_may_call_the_sentence_its_index(tmp_path: Path) -> None:
    """As LeRobot writes meta/tasks.parquet with an index that has no name."""
    write(tmp_path)
    names = pa.table({"task_index": pa.array([0], pa.int64()), "__index_level_0__": ["place"]})
    pq.write_table(names, tmp_path / "meta/tasks.parquet")
    assert read(tmp_path)[0].instructions == ("place",)


def test_stamps_may_begin_anywhere(tmp_path: Path) -> None:
    write(tmp_path)
    stamps = 1.7e9 + np.arange(8) / 15
    in_table(DATA, lambda t: t.append_column("timestamp", pa.array(stamps)))(tmp_path)
    assert len(read(tmp_path)) == 1


def test_hidden_files_are_left_aside(tmp_path: Path) -> None:
    """Those that file managers and archives leave beside the others."""
    write(tmp_path)
    for name in ("._file-000.parquet", ".file-001.parquet"):
        (tmp_path / ROWS).with_name(name).write_bytes(b"\0\5\x16\7")
    hidden = tmp_path / "meta/episodes/.ipynb_checkpoints"
    hidden.mkdir()
    (hidden / "file-000.parquet").write_bytes((tmp_path / ROWS).read_bytes())
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_at_newlines_only(tmp_path: Path, separator: str, end: str) -> None:
    write(tmp_path)
    text = f"lift{separator}it"
    edit = {"codebase_version": "v2.1", "chunks_size": 1000, "data_path": DATA}
    in_info(lambda i: i.update(edit))(tmp_path)
    lines = [{"episode_index": 0, "tasks": [text], "length": 8}]
    for name, rows in (("episodes", lines), ("tasks", [{"task_index": 0, "task": text}])):
        dump = [json.dumps(row, ensure_ascii=separator < " ") for row in rows]
        (tmp_path / f"meta/{name}.jsonl").write_text(end.join([*dump, ""]), newline="")
    assert read(tmp_path)[0].instructions == (text,)
