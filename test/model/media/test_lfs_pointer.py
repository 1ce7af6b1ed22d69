# SPDX-License-Identifier: Apache-2.0
"""Whatever is read, a pointer of git-lfs in its place is told, and what to do about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.execution.candidates.candidate_file import read_candidate
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.table import read_yaml
from cosmos3_ros.model.media.lfs_pointer import check_pointer
from cosmos3_ros.model.media.picture import decode_picture
from cosmos3_ros.model.media.video import read_times
from cosmos3_ros.robot.parameter_file import read_sections
from cosmos3_ros.training.data.lerobot.tables import column_names
from cosmos3_ros.training.data.rosbag_file import opened
from cosmos3_ros.training.dynamics.action_table import read_actions

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"


def open_bag(path: Path) -> None:
    with opened(path):
        pass


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "embodiment": ("embodiment.yaml", read_yaml),
    "robot file": ("arm.yaml", read_sections),
    "picture": ("a.png", lambda path: decode_picture(path.read_bytes(), str(path))),
    "video": ("a.mp4", lambda path: read_times(path, str(path))),
    "video in memory": ("a.mp4", lambda path: read_times(path.read_bytes(), str(path))),
    "LeRobot's table": ("a.parquet", column_names),
    "candidate": ("a.csv", read_candidate),
    "actions": ("a.parquet", lambda path: read_actions(path, EMBODIMENTS["droid_sim"])),
    "recording": ("a.mcap", open_bag),
    "recording in a folder": ("bag/bag_0.mcap", lambda path: open_bag(path.parent)),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_pointer_is_told(kind: str, tmp_path: Path) -> None:
    name, read = READERS[kind]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(POINTER)
    with pytest.raises(ValueError, match=rf"^.*{file.name}: a pointer of git-lfs.*`git lfs pull`"):
        read(file)


def test_other_files_pass(tmp_path: Path) -> None:
    for content in (b"", b"version https", b"x" * 100):
        (tmp_path / "a").write_bytes(content)
        check_pointer(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        check_pointer(tmp_path / "b")
