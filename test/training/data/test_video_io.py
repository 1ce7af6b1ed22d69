# SPDX-License-Identifier: Apache-2.0
"""Pictures to learn from are whole and of one size, or refused."""

from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.training.clips.video_clip import read_frames
from cosmos3_ros.training.data.video_io import at_rate, read_video, stacked, write_video
from cosmos3_ros.training.video_options import VideoOptions


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A film of 12 frames of noise, of which the middle was overwritten with zeros."""
    file = tmp_path / "film.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3), np.uint8)
    write_video(file, noise, 15)
    data = bytearray(file.read_bytes())
    middle = data.index(b"mdat") + len(data) // 2
    data[middle : middle + 64] = bytes(64)
    file.write_bytes(data)
    return file


def test_a_picture_that_the_decoder_made_up_is_refused(damaged: Path) -> None:
    words = r"film\.mp4 is damaged: the picture at 0\.\d+ s is not whole"
    with pytest.raises(ValueError, match=words):
        read_video(damaged, 0.0, 12, 15)
    with pytest.raises(ValueError, match=words):
        at_rate(damaged, 15)
    with pytest.raises(ValueError, match=words):
        read_frames(damaged, 0, None, 1, VideoOptions(clips="x", size=(32, 32)))


def test_pictures_of_two_sizes_are_refused() -> None:
    pictures = [np.zeros((4, 6, 3), np.uint8), np.zeros((4, 8, 3), np.uint8)]
    with pytest.raises(ValueError, match=r"x: expected pictures of one size, got \[\(4, 6, 3\)"):
        stacked(pictures, "x")
    assert stacked(pictures[:1], "x").shape == (1, 4, 6, 3)
