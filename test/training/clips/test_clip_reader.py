# SPDX-License-Identifier: Apache-2.0
"""Clips of folders and LeRobot datasets: which frames, at which size and rate, of whose share."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.clips.clip_reader import ClipReader, read_clips
from cosmos3_ros.training.clips.video_clip import interval_of, make_clip
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.video_options import VideoOptions

SMALL = VideoOptions(clips="x", size=(32, 48))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three videos of 12 gray frames at 30 Hz, each a little brighter than the one before."""
    folder = tmp_path_factory.mktemp("clips")
    lines = []
    for number in range(3):
        frames = [np.full((36, 64, 3), 40 * number + 4 * step, np.uint8) for step in range(12)]
        write_video(folder / f"{number}.mp4", frames, 30)
        lines.append({"video": f"{number}.mp4", "caption": f"gray {number}"})
    lines.append(lines[0] | {"start_frame": 4, "end_frame": 9, "temporal_interval": 2})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def shades(clip):
    return clip.frames.mean((1, 2, 3)) / 4


def test_every_frame_or_every_nth(folder):
    options = dataclasses.replace(SMALL, clips=str(folder))
    clips = list(read_clips(options))
    assert [clip.captions for clip in clips] == [("gray 0",), ("gray 1",), ("gray 2",), ("gray 0",)]
    assert clips[0].frames.shape == (12, 32, 48, 3)
    assert clips[0].fps == 30
    assert (clips[0].length, clips[0].starts) == (9, (0,))
    assert np.allclose(shades(clips[1]), 10 + np.arange(12), atol=0.8)
    assert np.allclose(shades(clips[3]), [4, 6, 8], atol=0.8)  # the window of the line
    assert clips[3].fps == 15
    slow = list(read_clips(dataclasses.replace(options, fps=10.0)))
    assert np.allclose(shades(slow[0]), [0, 3, 6, 9], atol=0.8)
    assert slow[0].fps == 10
    assert [clip.captions for clip in read_clips(options, 1, 2)] == [("gray 1",), ("gray 0",)]


def test_rates_and_windows():
    assert [interval_of(rate, 0) for rate in (5, 24, 30, 29.97, 50, 60, 120)] == [
        *(1, 1, 1, 1, 2, 2, 4)
    ]
    assert [interval_of(30, fps) for fps in (15, 16, 24, 30, 60)] == [2, 2, 1, 1, 1]
    frames = np.zeros((12, 32, 48, 3), np.uint8)

    def starts(**options):
        clip = make_clip(frames, 15.0, ("x",), dataclasses.replace(SMALL, **options))
        return clip.length, clip.starts

    assert starts(frames=5) == (5, (0, 5))
    assert starts(frames=5, stride=3) == (5, (0, 3, 6))
    assert starts(frames=1, stride=6) == (1, (0, 6))
    assert starts(frames=13) == (13, ())


def test_sizes_are_those_of_the_tier_nearest_to_the_clip():
    options = VideoOptions(clips="x", tier="480")
    assert options.size_of(720, 1280) == (480, 832)
    assert options.size_of(500, 500) == (640, 640)
    assert dataclasses.replace(options, aspect="9,16").size_of(720, 1280) == (832, 480)
    shifts = {(192, 320): 3.0, (480, 832): 5.0, (640, 640): 5.0, (720, 1280): 10.0}
    assert {size: options.shift_of(size) for size in shifts} == shifts


def test_the_camera_of_a_lerobot_dataset(tmp_path, episode):
    made = [episode(12, seed) for seed in range(3)]
    write_shard(tmp_path, 0, 0, made, EMBODIMENTS["droid_sim"])
    finish(tmp_path, 1, EMBODIMENTS["droid_sim"], "robot")
    camera = "observation.images.wrist_image_left"
    options = dataclasses.replace(SMALL, clips=str(tmp_path), camera=camera, frames=5)
    clips = list(read_clips(options, 0, 2))
    assert len(clips) == 2
    assert clips[0].frames.shape == (12, 32, 48, 3)
    assert clips[0].fps == 15
    assert clips[0].captions == ("pick up the red cube",)
    real = made[2].views["wrist"].mean()
    assert abs(float(clips[1].frames.mean()) - float(real)) < 4
    for wrong in ("", "observation.images.nose"):
        with pytest.raises(ValueError, match=r"expected one of the cameras .* got"):
            read_clips(dataclasses.replace(options, camera=wrong))


def test_folders_and_files_that_are_none(tmp_path, folder):
    def read(place, **options):
        return list(read_clips(dataclasses.replace(SMALL, clips=str(place), **options)))

    with pytest.raises(ValueError, match=r"video.clips: no folder"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"has none of captions.jsonl, .* no LeRobot dataset"):
        read(tmp_path)
    with pytest.raises(ValueError, match=r"video.camera: expected none beside"):
        read(folder, camera="wrist")
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    (tmp_path / "captions.jsonl").write_text('{"video": "a.mp4", "caption": "x"}')
    with pytest.raises(ValueError, match=r"captions.jsonl:1: .*a.mp4 is not readable as a video"):
        read(tmp_path)
    (tmp_path / "a.mp4").write_bytes((folder / "0.mp4").read_bytes())
    line = '{"video": "a.mp4", "caption": "x", "start_frame": 12}'
    (tmp_path / "captions.jsonl").write_text(line)
    with pytest.raises(ValueError, match=r"expected a frame 12, it has fewer"):
        read(tmp_path)


def test_a_reader_reads_a_few_ahead_and_says_what_went_wrong():
    count = itertools.count()

    def endless():
        for number in count:
            yield make_clip(np.zeros((1, 16, 16, 3), np.uint8), 1.0, (str(number),), SMALL)

    reader = ClipReader(endless())
    assert len(list(reader.take(20))) >= 20
    reader.close()
    assert next(count) <= reader.taken + 12

    def failing():
        yield from itertools.islice(endless(), 2)
        raise ValueError("a.mp4: broken")

    reader = ClipReader(failing())
    with pytest.raises(ValueError, match=r"broken"):
        list(reader.take(3))
    reader.close()
    reader = ClipReader(itertools.islice(endless(), 2))
    assert len(list(reader.take(5))) == 2
    assert reader.finished
    assert list(reader.take(9)) == []
    reader.close()
