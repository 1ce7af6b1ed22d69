# SPDX-License-Identifier: Apache-2.0
"""Physics-IQ's folder in, five seconds of video under the scorer's names out."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.training.benchmarks.layout import Prompts
from cosmos3_ros.training.benchmarks.physics_iq import read_cases
from cosmos3_ros.training.data.video_io import read_video

BALL, LAMP = "0001_perspective-left_trimmed-ball", "0002_perspective-center_trimmed-lamp"
PLACES = (
    ("0001", "perspective-left", "trimmed-ball"),
    ("0002", "perspective-center", "trimmed-lamp"),
)


@pytest.fixture
def data(tmp_path: Path, picture, film) -> Path:
    folder = tmp_path / "physics-IQ-benchmark"
    rows = []
    for number, view, name in PLACES:
        for take in (1, 2):
            rows.append(
                {
                    "scenario": f"{number}_{view}_take-{take}_{name}.mp4",
                    "description": f"A {name}. Static shot.",
                    "category": "Solid Mechanics",
                    "generated_video_name": f"{number}_{view}_{name}.mp4",
                }
            )
        picture(folder / "switch-frames" / f"{number}_switch-frames_anyFPS_{view}_{name}.jpg")
        video = f"{number}_conditioning-videos_30FPS_{view}_take-1_{name}.mp4"
        film(folder / "split-videos" / "conditioning" / "30FPS" / video, 150, 30)
    with (folder / "descriptions.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return folder


def test_videos_are_what_the_scorer_asserts(
    data, benchmark_command, tmp_path, picture, frames_and_seconds, small
):
    (
        data / "switch-frames" / "0002_switch-frames_anyFPS_perspective-center_trimmed-lamp.jpg"
    ).unlink()
    words = ("physics-iq", data, "--out", tmp_path / "out", "--fps", "1", *small)
    code, said = benchmark_command(*words)
    assert code == 1  # one switch frame is missing
    assert "1 of 2 videos in" in said
    assert "expected a file 0002_*" in said
    videos = tmp_path / "out" / "videos"
    assert [file.name for file in videos.iterdir()] == [f"{BALL}.mp4"]
    assert frames_and_seconds(videos / f"{BALL}.mp4") == (5, pytest.approx(5.0, abs=0.001))
    made = read_video(tmp_path / "out" / "results" / f"{BALL}.mp4", 0.0, 9, 1.0).astype(int)
    cut = read_video(videos / f"{BALL}.mp4", 0.0, 5, 1.0).astype(int)
    apart = [float(np.abs(cut[0] - frame).mean()) for frame in made]
    assert int(np.argmin(apart)) == 1  # without the switch frame
    before = (videos / f"{BALL}.mp4").stat().st_mtime_ns
    picture(
        data / "switch-frames" / "0002_switch-frames_anyFPS_perspective-center_trimmed-lamp.jpg"
    )
    code, said = benchmark_command(*words)
    assert code == 0
    assert "2 of 2 videos" in said
    assert "1 made, 1 there already" in said
    assert (videos / f"{BALL}.mp4").stat().st_mtime_ns == before


def test_after_a_video_come_only_the_seconds_that_follow(
    data, benchmark_command, tmp_path, frames_and_seconds, small
):
    words = ("--track", "v2v", "--only", "0001*", "--fps", "1", "--out", tmp_path / "out")
    code, said = benchmark_command("physics-iq", data, *words, *small)
    assert code == 0, said
    video = tmp_path / "out" / "videos" / f"{BALL}.mp4"
    assert frames_and_seconds(video)[0] == 5


@pytest.mark.parametrize(
    ("track", "fps", "frames", "known"),
    [("i2v", 24, 121, 1), ("i2v", 30, 153, 1), ("v2v", 24, 125, 5), ("v2v", 8, 45, 5)],
)
def test_enough_frames_are_asked_for(data, track, fps, frames, known):
    case = read_cases(data, track, {"fps": float(fps)}, Prompts(None))[0]
    assert case.name == BALL
    assert case.job.options is not None
    assert case.job.options.frames == frames
    assert case.frames == (known, 5 * fps)
    assert case.job.options.prompt == "A trimmed-ball. Static shot."


def test_without_descriptions_or_whole_frames_it_says_so(data):
    with pytest.raises(ValueError, match="--fps: expected a whole number"):
        read_cases(data, "i2v", {"fps": 23.98}, Prompts(None))
    (data / "descriptions.csv").write_text("scenario,description\na,b\n")
    with pytest.raises(ValueError, match="expected rows with scenario, description"):
        read_cases(data, "i2v", {}, Prompts(None))
    (data / "descriptions.csv").unlink()
    with pytest.raises(ValueError, match=r"expected descriptions\.csv or"):
        read_cases(data, "i2v", {}, Prompts(None))
