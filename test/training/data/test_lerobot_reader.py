# SPDX-License-Identifier: Apache-2.0
"""Datasets that others recorded: other names, rates, codecs, units and versions."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data import lerobot_reader
from cosmos3_ros.training.data.clip_source import make_clips
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.lerobot_reader import Layout, make_layout, read_episodes
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.options import DataOptions

BRIDGE = EMBODIMENTS["bridge"]
DROID_SINGLE_VIEW = EMBODIMENTS["droid_single_view"]

CAMERA = "observation.images.top"
FEATURES = {
    "state": "observation.state",
    "action": ["action.arm", "action.grip"],
    "exterior_1": CAMERA,
}
LENGTHS = (45, 31)


def states(first: int, length: int) -> np.ndarray:
    """Joints rise by 0.01 a frame; the gripper is 0.08 m open and closes evenly."""
    frames = np.arange(first, first + length)[:, None]
    return np.hstack([np.arange(7) + 0.01 * frames, 0.08 - 0.001 * (frames - first)]).astype(
        np.float32
    )


def shades(first: int, length: int) -> list[int]:
    return [20 + 3 * (first + frame) % 200 for frame in range(length)]


FILM = """
import sys, av, numpy as np
file, codec, fps, *values = sys.argv[1:]
with av.open(file, "w") as container:
    stream = container.add_stream(codec, rate=int(fps), options={"g": "8"})
    stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
    for value in map(int, values):
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
    container.mux(stream.encode())
"""


def write_film(file: Path, values: list[int], codec: str, fps: int) -> None:
    """In a process of its own: for root, libsvtav1 makes its thread a real-time one for good."""
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-c", FILM, file, codec, str(fps), *map(str, values)], check=True
    )


def columns(first: int, length: int, episode: int) -> dict[str, Any]:
    now, later = states(first, length), states(first + 1, length)

    def wide(values: np.ndarray) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])

    return {
        "observation.state": wide(now),
        "action.arm": wide(later[:, :7]),
        "action.grip": pa.array(now[:, 7]),
        "episode_index": pa.array([episode] * length, pa.int64()),
    }


def info(version: str, fps: int, picture: str, **paths: str) -> dict[str, Any]:
    features = {
        "observation.state": {"dtype": "float32", "shape": [8]},
        "action.arm": {"dtype": "float32", "shape": [7]},
        "action.grip": {"dtype": "float32", "shape": [1]},
        CAMERA: {"dtype": picture, "shape": [48, 64, 3]},
    }
    return {
        "codebase_version": version,
        "fps": fps,
        "chunks_size": 1000,
        "features": features,
        **paths,
    }


def write_info(root: Path, fields: dict[str, Any]) -> None:
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta/info.json").write_text(json.dumps(fields))


def write_v3(
    root: Path, fps: int = 30, codec: str = "libx264", tasks: tuple[str, ...] = ("pick", "place")
) -> Path:
    """Both episodes in one parquet and one video."""
    path = "{kind}/chunk-{{chunk_index:03d}}/file-{{file_index:03d}}.{end}"
    paths = {"data_path": path.format(kind="data", end="parquet")}
    paths["video_path"] = (
        path.format(kind="videos/{{video_key}}", end="mp4").replace("{{", "{").replace("}}", "}")
    )
    write_info(root, info("v3.0", fps, "video", **paths))
    tables, rows, begin = [], [], 0
    for number, length in enumerate(LENGTHS):
        tables.append(pa.table(columns(begin, length, number)))
        row = {
            "episode_index": number,
            "tasks": [tasks[number]] if tasks[number] else [],
            "length": length,
        }
        row |= {
            f"{part}/{name}": 0
            for part in ("data", f"videos/{CAMERA}")
            for name in ("chunk_index", "file_index")
        }
        row |= {
            f"videos/{CAMERA}/from_timestamp": begin / fps,
            f"videos/{CAMERA}/to_timestamp": (begin + length) / fps,
        }
        rows.append(row)
        begin += length
    for folder in ("data/chunk-000", "meta/episodes/chunk-000"):
        (root / folder).mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), root / "data/chunk-000/file-000.parquet")
    pq.write_table(pa.Table.from_pylist(rows), root / "meta/episodes/chunk-000/file-000.parquet")
    write_film(root / f"videos/{CAMERA}/chunk-000/file-000.mp4", shades(0, begin), codec, fps)
    return root


def write_v21(root: Path, pictures: str) -> Path:
    """A file for each episode; pictures in videos, or as PNG in the table."""
    paths = {"data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"}
    paths["video_path"] = (
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    )
    write_info(root, info("v2.1", 15, pictures, **paths))
    (root / "data/chunk-000").mkdir(parents=True)
    lines, begin = [], 0
    for number, length in enumerate(LENGTHS):
        table = columns(begin, length, number)
        if pictures == "image":
            cells = []
            for value in shades(begin, length):
                done, png = cv2.imencode(".png", np.full((48, 64, 3), (value, 7, 9), np.uint8))
                assert done
                cells.append({"bytes": png.tobytes(), "path": "frame.png"})
            table[CAMERA] = pa.array(cells)
        else:
            place = {"episode_chunk": 0, "episode_index": number, "video_key": CAMERA}
            write_film(
                root / paths["video_path"].format(**place), shades(begin, length), "libx264", 15
            )
        pq.write_table(
            pa.table(table), root / paths["data_path"].format(episode_chunk=0, episode_index=number)
        )
        lines.append(json.dumps({"episode_index": number, "tasks": ["pick"], "length": length}))
        begin += length
    (root / "meta/episodes.jsonl").write_text("\n".join(lines) + "\n")
    return root


def layout(**options: Any) -> Layout:
    return make_layout(DROID_SINGLE_VIEW, FEATURES, **{"gripper": (0.08, 0.0), **options})


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
def test_a_faster_recording_of_others_is_resampled(tmp_path: Path, codec: str) -> None:
    """30 Hz, two episodes in a file, other names, grippers in meters that count backwards."""
    episodes = list(read_episodes(write_v3(tmp_path, codec=codec), DROID_SINGLE_VIEW, layout()))
    assert [episode.instructions for episode in episodes] == [("pick",), ("place",)]
    begin = 0
    for episode, length in zip(episodes, LENGTHS, strict=True):
        kept = np.arange(0, length, 2)
        assert len(episode) == len(kept)
        assert np.allclose(episode.states[:, :7], states(begin, length)[kept, :7], atol=1e-5)
        assert np.allclose(episode.states[:, 7], kept / 80, atol=1e-4)
        # A step of ours is two of theirs: where the arm is to be then; of the gripper, what was
        # last commanded.
        then = np.minimum(kept + 1, length - 1)
        assert np.allclose(episode.actions[:, :7], states(begin + 1, length)[then, :7], atol=1e-5)
        assert np.allclose(episode.actions[:, 7], then / 80, atol=1e-4)
        shown = episode.views["exterior_1"].mean(axis=(1, 2, 3))
        assert np.abs(shown - np.array(shades(begin, length))[kept]).max() < 4
        begin += length


def test_a_process_decodes_its_share_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, read_video = [], lerobot_reader.read_video
    monkeypatch.setattr(
        lerobot_reader, "read_video", lambda *args: (decoded.append(args[1]), read_video(*args))[1]
    )
    (second,) = read_episodes(write_v3(tmp_path), DROID_SINGLE_VIEW, layout(), rank=1, size=2)
    assert second.instructions == ("place",)
    assert decoded == [LENGTHS[0] / 30] * len(DROID_SINGLE_VIEW.views)


def test_rates_that_are_no_multiple_keep_time(tmp_path: Path) -> None:
    first, _ = read_episodes(write_v3(tmp_path, fps=50), DROID_SINGLE_VIEW, layout())
    seconds = np.arange(len(first)) / 15
    assert np.allclose(first.states[:, 0], 0.01 * seconds * 50, atol=1e-5)
    assert np.allclose(first.actions[:-1, 0], first.states[1:, 0], atol=1e-5)
    shown = first.views["exterior_1"].mean(axis=(1, 2, 3))
    assert (
        np.abs(shown - np.array(shades(0, 45))[np.floor(seconds * 50 + 1e-6).astype(int)]).max() < 4
    )


@pytest.mark.parametrize("pictures", ["image", "video"])
def test_version_2_is_read(tmp_path: Path, pictures: str) -> None:
    episodes = list(read_episodes(write_v21(tmp_path, pictures), DROID_SINGLE_VIEW, layout()))
    assert [len(episode) for episode in episodes] == list(LENGTHS)
    second = episodes[1]
    assert np.allclose(second.states[:, :7], states(LENGTHS[0], LENGTHS[1])[:, :7])
    blue = second.views["exterior_1"][..., 2].mean(axis=(1, 2))
    assert np.abs(blue - shades(*LENGTHS)).max() < 4
    if pictures == "image":
        assert (second.views["exterior_1"][..., 0] == 9).all()


def test_an_episode_without_a_task_needs_an_instruction(tmp_path: Path) -> None:
    write_v3(tmp_path, tasks=("pick", ""))
    with pytest.raises(ValueError, match="episode 1 has no task: say with `instruction`"):
        list(read_episodes(tmp_path, DROID_SINGLE_VIEW, layout()))
    episodes = list(read_episodes(tmp_path, DROID_SINGLE_VIEW, layout(instruction="place it")))
    assert [episode.instructions for episode in episodes] == [("pick",), ("place it",)]


def test_a_recipe_names_the_features(tmp_path: Path) -> None:
    options = DataOptions(str(write_v3(tmp_path)), FEATURES, (0.08, 0.0), stride=5)
    clips = list(make_clips(options, DROID_SINGLE_VIEW))
    assert [clip.instructions for clip in clips] == [("pick",), ("place",)]
    assert clips[0].rows.shape == (5, 17, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda it: it.update(fps=10),
            r"recorded at 10 Hz, droid_single_view needs 15\.0 Hz: pictures between",
        ),
        (
            lambda it: it["features"].pop(CAMERA),
            rf"lacks the feature\(s\) \['{CAMERA}'\]; it has \['action.arm'",
        ),
        (
            lambda it: it["features"]["action.arm"].update(shape=[6]),
            "action .* has 7 numbers, .* expects 8: ",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict], None], message: str
) -> None:
    write_v3(tmp_path)
    fields = json.loads((tmp_path / "meta/info.json").read_text())
    change(fields)
    write_info(tmp_path, fields)
    with pytest.raises(ValueError, match=message):
        list(read_episodes(tmp_path, DROID_SINGLE_VIEW, layout()))


def test_poses_are_not_resampled(tmp_path: Path) -> None:
    write_v3(tmp_path)
    named = make_layout(
        BRIDGE, {**dict.fromkeys(("state", "action"), "observation.state"), "image": CAMERA}
    )
    with pytest.raises(ValueError, match=r"needs 5\.0 Hz: poses cannot be resampled"):
        list(read_episodes(tmp_path, BRIDGE, named))


def test_wrong_layouts_are_named() -> None:
    for features, gripper, message in (
        (
            {"wrist": "a"},
            (0.0, 1.0),
            r"unknown \['wrist'\], expected some of \['state', 'action', 'exterior_1'\]",
        ),
        ({"exterior_1": ["a", "b"]}, (0.0, 1.0), "one name for each camera"),
        ({}, (0.5, 0.5), "gripper: expected what it says when open and when closed"),
    ):
        with pytest.raises(ValueError, match=message):
            make_layout(DROID_SINGLE_VIEW, features, gripper)
    assert dataclasses.asdict(make_layout(BRIDGE, {}))["state"] == ("observation.state",)


def test_a_film_that_is_too_short_is_named(tmp_path: Path) -> None:
    write_v3(tmp_path)
    write_film(tmp_path / f"videos/{CAMERA}/chunk-000/file-000.mp4", shades(0, 50), "libx264", 30)
    with pytest.raises(ValueError, match=r"expected 31 frames from 1\.500 s on, it has 5"):
        list(read_episodes(tmp_path, DROID_SINGLE_VIEW, layout()))


def test_an_episode_of_the_third_version_says_where_it_begins_in_its_film(tmp_path: Path) -> None:
    write_v3(tmp_path)
    rows = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(rows).drop([f"videos/{CAMERA}/from_timestamp"]), rows)
    with pytest.raises(ValueError, match=r"from_timestamp: expected seconds, got None"):
        list(read_episodes(tmp_path, DROID_SINGLE_VIEW, layout()))


def test_numbers_that_a_disk_changed_are_refused(tmp_path: Path) -> None:
    """Those of datasets that this package wrote: they have checksums."""
    droid = make_layout(DROID_SINGLE_VIEW, {})
    frames = np.linspace(0.1, 0.2, 7, dtype=np.float32)[:, None] + np.zeros(8, np.float32)
    episode = Episode(
        {"exterior_1": np.zeros((6, 48, 64, 3), np.uint8)},
        frames[:-1],
        frames[1:],
        ("pick",),
        np.zeros((6, 0), np.float32),
    )
    write_shard(tmp_path, 0, 0, [episode], DROID_SINGLE_VIEW)
    finish(tmp_path, 1, DROID_SINGLE_VIEW, "arm")
    file = tmp_path / "data/chunk-000/file-000.parquet"
    data, number = bytearray(file.read_bytes()), frames[2, :1].tobytes()
    assert len(list(read_episodes(tmp_path, DROID_SINGLE_VIEW, droid))) == 1
    data[data.index(number)] ^= 0x10
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"file-000\.parquet: not readable as parquet .*CRC"):
        list(read_episodes(tmp_path, DROID_SINGLE_VIEW, droid))
