# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 dynamics`: pictures and a table to a video, its views to actions; what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.lerobot_reader import read_episodes
from cosmos3_ros.training.dynamics.action_table import read_actions, write_actions

ARM = EMBODIMENTS["droid_sim"]
STATE = "--state=0,-0.6,0,-2.5,0,1.9,0,0"


def files(folder: Path, suffix: str) -> list[str]:
    return [f"{view}={folder / view}{suffix}" for view in ARM.views]


def pictures(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    for view in ARM.views:
        pixels = random.integers(0, 256, (36, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{view}.png"), pixels)
    return files(folder, ".png")


def test_pictures_and_actions_to_a_video_and_back(smallest: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "a.csv", tmp_path / "future.mp4"
    values = np.full((18, 8), 0.1, np.float32)
    write_actions(table, values, np.arange(18) * ARM.step, ARM)
    start = ["--instruction", "lift the cube", STATE]
    common = ["dynamics", "forward", str(smallest), "--picture", *pictures(tmp_path), *start]
    words = [*common, "--actions", str(table), "--out", str(out)]
    assert main([*words, "--per-view"]) == 0
    videos = [f"{view}={out.with_name(f'future.{view}.mp4')}" for view in ARM.views]
    read = ["dynamics", "inverse", str(smallest), "--video", *videos, *start, "--steps", "1"]
    said = tmp_path / "b.csv"
    assert main([*read, "--out", str(tmp_path / "d"), "--csv", str(said)]) == 0
    (episode,) = read_episodes(tmp_path / "d", ARM)
    assert len(episode) == 19
    assert episode.instructions == ("lift the cube",)
    found = read_actions(said, ARM)
    grippers = np.clip(episode.actions[:-1], [-np.inf] * 7 + [0], [np.inf] * 7 + [1])
    assert np.abs(found - grippers).max() < 1e-4
    assert np.allclose(episode.states[1:, :7], episode.actions[:-1, :7], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["forward", "--out", "a.avi"], "--out: expected a file .mp4, got a.avi"),
        (["forward", "--out", "a.mp4", "--rows", "-1"], "--rows: expected 0 or more, got -1"),
        (["forward", "--out", "a.mp4"], "--actions: expected a file beside --picture, got none"),
        (["inverse"], "expected --out FOLDER, --csv FILE or both, got neither"),
        (["inverse", "--csv", "a.csv", "--robot", "x"], "expected --robot FILE with --bag"),
        (["inverse", "--csv", "a.csv"], "--video: expected one VIEW=FILE for each of ['wrist'"),
        (["inverse", "--csv", "a.csv", "--state", "1"], "--state: expected 8 finite numbers"),
    ],
)
def test_what_does_not_fit_is_one_line(
    smallest: Path, capfd: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    mode, *rest = words
    option = "--video" if mode == "inverse" else "--picture"
    assert main(["dynamics", mode, str(smallest), option, "wrist=a", *rest]) == 1
    error = capfd.readouterr().err
    assert error.startswith(f"error: {told}")
    assert error.count("\n") == 1
