# SPDX-License-Identifier: Apache-2.0
"""Videos: frames at the times and the way up that the file says, by whoever reads them."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from cosmos3_ros.model.language.media_file import read_clip
from cosmos3_ros.model.media.mp4 import H264, Mp4Writer, write_mp4
from cosmos3_ros.model.media.video import (
    NotAVideoError,
    frames,
    read_frames,
    read_times,
    upright,
)


def gray(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def film(moments: list[int], kind: str = "mp4") -> bytes:
    """Frames at these times in ms, the brighter the later: 5 levels for a frame."""
    held = io.BytesIO()
    with av.open(held, "w", format=kind) as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10", "g": "4"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, moment in enumerate(moments):
            frame = av.VideoFrame.from_ndarray(gray(5 * number), "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return held.getvalue()


EVEN = [50 * number for number in range(41)]
# 20 Hz for a second, then one frame a second, as screens and phones in the dark are recorded
UNEVEN = [*EVEN[:20], *range(1000, 9001, 1000)]


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_times_are_those_of_the_file(kind):
    times = read_times(film(UNEVEN, kind), "it")
    assert times.seconds == pytest.approx(np.array(UNEVEN) / 1000, abs=2e-3)
    assert not times.even
    even = read_times(film(EVEN, kind), "it")
    assert even.even
    assert even.rate == pytest.approx(20, rel=0.03)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_clip_of_uneven_frames_has_their_stamps(kind):
    clip = read_clip(film(UNEVEN, kind), "it", rate=0.5)
    seconds = clip.indices / clip.fps
    assert seconds[[0, -1]] == pytest.approx([0, 9], abs=0.01)
    assert np.diff(seconds) == pytest.approx(3, abs=0.1), "evenly spread in time, not by number"
    for moment, picture in zip(seconds, clip.frames, strict=True):
        number = int(np.abs(np.array(UNEVEN) / 1000 - moment).argmin())
        assert picture.mean() == pytest.approx(5 * number, abs=3)
        assert moment == pytest.approx(UNEVEN[number] / 1000, abs=2e-3)


def test_a_clip_of_even_frames_counts_them():
    clip = read_clip(film(EVEN), "it")
    assert clip.indices.tolist() == np.linspace(0, 40, len(clip.indices)).round().tolist()
    assert clip.indices[-1] / clip.fps == pytest.approx(2.0, rel=0.03)


def test_reading_may_begin_inside():
    data = film(EVEN)
    moments = [seconds for seconds, _ in frames(data, "it", begin=1.0)]
    assert moments[0] == pytest.approx(1.0, abs=0.2)
    assert moments[0] <= 1.0
    picked = read_frames(data, "it", np.array([3, 30]))
    assert [round(picture.mean() / 5) for picture in picked] == [3, 30]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is not readable as a video"),
        (b"words" * 99, "it is not readable as a video"),
        (film(EVEN)[:600], "it is not readable as a video"),
        (b"#EXTM3U\n#EXTINF:1\n/etc/passwd\n", "it is not readable as a video"),
    ],
)
def test_what_is_no_video_is_refused(data, words):
    with pytest.raises(NotAVideoError, match=words):
        read_times(data, "it")


def test_limits():
    with pytest.raises(ValueError, match="it: expected at most 40 frames, got more"):
        read_times(film(EVEN), "it", most=40)


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (48, 63)])
def test_what_is_written_is_read(size, tmp_path):
    levels = [0, 60, 120, 180, 240]
    pictures = [gray(level, *size) for level in levels]
    write_mp4(tmp_path / "a.mp4", iter(pictures), 10, H264(key_every=2), "é")
    read = [(seconds, upright(frame)) for seconds, frame in frames(tmp_path / "a.mp4", "it")]
    assert [seconds for seconds, _ in read] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [picture.mean() for _, picture in read] == pytest.approx(levels, abs=3)
    assert read[0][1].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.metadata["comment"] == "é"
    with pytest.raises(ValueError, match="expected frames to write, got none"):
        write_mp4(tmp_path / "b.mp4", [], 10)


def test_a_film_without_frames_leaves_no_traceback(tmp_path):
    with Mp4Writer(tmp_path / "a.mp4", 10, (48, 64)) as film:
        pass
    assert film.frames == 0
