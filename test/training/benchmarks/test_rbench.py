# SPDX-License-Identifier: Apache-2.0
"""RBench's folder in, a folder of numbered videos for each category out."""

import json
from pathlib import Path

import pytest

from cosmos3_ros.training.benchmarks.layout import Prompts
from cosmos3_ros.training.benchmarks.rbench import read_cases


@pytest.fixture
def data(tmp_path: Path, picture) -> Path:
    folder = tmp_path / "RBench"
    (folder / "prompts").mkdir(parents=True)
    for category in ("dual_arm", "long-horizon_planning"):
        rows = [
            {"name": f"{number:04d}", "prompt": f"Step {number}", "view": "third person"}
            for number in (1, 2)
        ]
        (folder / "prompts" / f"{category}_prompts.json").write_text(json.dumps(rows))
        picture(folder / "imgs" / category / "0001.jpg")
        picture(folder / "imgs" / category / "0002.png")
    return folder


def test_videos_lie_where_the_scorer_looks(data, benchmark_command, tmp_path, small):
    words = ("--out", tmp_path / "out", "--frames", "5", "--only", "*_0002")
    code, said = benchmark_command("rbench", data, *words, *small)
    assert code == 0, said
    videos = tmp_path / "out" / "videos"
    assert sorted(str(file.relative_to(videos)) for file in videos.rglob("*.*")) == [
        "dual_arm/videos/0002.mp4",
        "long-horizon_planning/videos/0002.mp4",
    ]


def test_cases_have_prompts_pictures_and_the_published_length(data):
    cases = read_cases(data, {}, Prompts(None))
    assert [case.name for case in cases][:2] == ["dual_arm_0001", "dual_arm_0002"]
    options = cases[1].job.options
    assert options is not None
    assert (options.prompt, options.frames, options.fps) == ("Step 2", 121, 24.0)
    assert options.image == str(data / "imgs" / "dual_arm" / "0002.png")


def test_a_missing_picture_fails_alone(data, tmp_path):
    (data / "imgs" / "dual_arm" / "0001.jpg").unlink()
    first, second, *_ = read_cases(data, {}, Prompts(None))
    assert "image_path, got none" in first.job.error
    assert second.job.options is not None
    with pytest.raises(ValueError, match=r"expected prompts/CATEGORY_prompts\.json"):
        read_cases(tmp_path, {}, Prompts(None))
