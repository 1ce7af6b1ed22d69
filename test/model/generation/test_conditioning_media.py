# SPDX-License-Identifier: Apache-2.0
"""Which frames of a video are continued, at the rate of what is made."""

import numpy as np
import pytest

from cosmos3_ros.model.generation.conditioning_media import read_continued
from cosmos3_ros.model.generation.result_files import write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Thirty frames at 30 a second, each brighter than the one before."""
    file = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = np.broadcast_to(
        np.arange(30, dtype=np.uint8)[:, None, None, None] * 8, (30, 32, 48, 3)
    )
    write_video(file, frames, 30, {})
    return str(file)


def numbers(frames):
    return np.rint(frames.astype(float).mean(axis=(1, 2, 3)) / 8).astype(int).tolist()


@pytest.mark.parametrize(
    ("fps", "keep", "expected"),
    [
        (30.0, "first", [0, 1, 2, 3, 4]),
        (15.0, "first", [0, 2, 4, 6, 8]),
        (24.0, "first", [0, 1, 2, 3, 5]),
        (60.0, "first", [0, 0, 1, 1, 2]),
        (30.0, "last", [25, 26, 27, 28, 29]),
        (10.0, "last", [17, 20, 23, 26, 29]),
    ],
)
def test_frames_are_those_shown_at_their_moments(clip, fps, keep, expected):
    frames = read_continued(clip, fps, keep)
    assert frames.shape == (5, 32, 48, 3)
    assert numbers(frames) == expected


def test_a_video_that_is_too_short_is_refused(clip):
    with pytest.raises(
        ValueError, match=r"expected 5 frames at 3 per second \(1\.33 s\), .* has 30 in 0\.97 s"
    ):
        read_continued(clip, 3.0)
