# SPDX-License-Identifier: Apache-2.0
"""captions.jsonl: both forms of a line are read, and whatever is wrong is named in one line."""

import json

import pytest

from cosmos3_ros.training.clips.caption_file import find_captions, read_captions


@pytest.fixture
def folder(tmp_path):
    """A folder with two files that stand for videos."""
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "videos/b.mp4"):
        (tmp_path / name).touch()
    return tmp_path


def write(folder, *lines, name="captions.jsonl"):
    file = folder / name
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


def test_our_lines(folder):
    file = write(
        folder,
        {"video": "a.mp4", "caption": " a cup\u2028falls "},
        "",
        {"video": "videos/b.mp4", "caption": ["one", {"scene": "two"}], "start_frame": 8},
    )
    assert find_captions(folder) == file
    first, second = read_captions(file)
    assert first.video == folder / "a.mp4"
    assert first.captions == ("a cup\u2028falls",)
    assert (first.first, first.last, first.interval) == (0, None, 0)
    assert second.captions == ("one", '{"scene": "two"}')
    assert second.first == 8
    assert second.where == f"{file}:3"


def test_the_lines_that_nvidias_framework_trains_with(folder):
    window = {"start_frame": 0, "end_frame": 86, "temporal_interval": 2, "caption": "dense"}
    line = {
        "uuid": "episode_000015_clip000",
        "duration": 17.4,
        "width": 256,
        "height": 256,
        "vision_path": "videos/b.mp4",
        "t2w_windows": [window, window | {"caption_json": {"fps": 5}, "qwen3_32b_short": "x"}],
    }
    file = write(folder, line, name="video_dataset_file.jsonl")
    assert find_captions(folder) == file
    dense, structured = read_captions(file)
    assert (dense.first, dense.last, dense.interval) == (0, 86, 2)
    assert dense.captions == ("dense",)
    assert structured.captions == ('{"fps": 5}',)


GOOD = {"video": "a.mp4", "caption": "a cup"}
NVIDIA = {"vision_path": "a.mp4", "t2w_windows": [{"caption": "x"}]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "expected an object, got list"),
        ({"video": "a.mp4"}, "caption: expected a sentence, .* got null"),
        (GOOD | {"caption": ""}, 'caption: expected a sentence, .* got ""'),
        (GOOD | {"caption": []}, "caption: expected a sentence"),
        (GOOD | {"caption": ["a", 3]}, "caption: expected a sentence"),
        (GOOD | {"caption": {}, "captoin": "x"}, r"unknown \['captoin'\], expected some of"),
        (GOOD | {"video": 3}, "video: expected the name of a video file, got 3"),
        ({"caption": "x"}, "video: expected the name of a video file, got None"),
        (GOOD | {"video": "c.mp4"}, "video: no such video 'c.mp4'"),
        (GOOD | {"video": "../a.mp4"}, "video: expected a file in"),
        (GOOD | {"video": "/etc/passwd"}, "video: expected a file in"),
        (GOOD | {"video": "s3://bucket/a.mp4"}, "video: expected a file in"),
        (GOOD | {"video": "a\0.mp4"}, "video: expected"),
        (GOOD | {"start_frame": -1}, "start_frame: expected 0 or more, got -1"),
        (GOOD | {"start_frame": True}, "start_frame: expected 0 or more, got True"),
        (GOOD | {"end_frame": 1.5}, "end_frame: expected 0 or more, got 1.5"),
        (GOOD | {"start_frame": 5, "end_frame": 4}, "end_frame: expected 5 or more, got 4"),
        (GOOD | {"temporal_interval": 0}, "temporal_interval: expected 1 or more, got 0"),
        (NVIDIA | {"t2w_windows": []}, "t2w_windows: expected a list of windows"),
        (NVIDIA | {"t2w_windows": [3]}, r"t2w_windows\[0\]: expected an object, got 3"),
        (NVIDIA | {"t2w_windows": [{}]}, r"t2w_windows\[0\]: caption: expected a sentence"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder, line, message):
    file = write(folder, GOOD, line)
    with pytest.raises(ValueError, match=message) as caught:
        read_captions(file)
    assert str(caught.value).startswith(f"{file}:2: ")
    assert "\n" not in str(caught.value)


def test_files_that_say_nothing_or_too_much(folder):
    assert find_captions(folder) is None
    file = write(folder, "")
    with pytest.raises(ValueError, match=r"expected captions, got none"):
        read_captions(file)
    file.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"not readable as UTF-8"):
        read_captions(file)
    write(folder, NVIDIA, name="video_dataset_file.jsonl")
    with pytest.raises(ValueError, match=r"expected one of .*, got both"):
        find_captions(folder)
