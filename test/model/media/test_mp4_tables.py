# SPDX-License-Identifier: Apache-2.0
"""Tables of an mp4 that name more samples than it can hold are refused before memory is taken."""

import io
import resource

import av
import numpy as np
import pytest

from cosmos3_ros.model.media.mp4 import write_mp4
from cosmos3_ros.model.media.mp4_tables import count_samples
from cosmos3_ros.model.media.video import read_times

FRAMES = [np.full((32, 48, 3), 20 * number, np.uint8) for number in range(9)]
MANY = 80_000_000  # samples, for which ffmpeg takes 2 GB


def whole():
    film = io.BytesIO()
    write_mp4(film, FRAMES, 10)
    return film.getvalue()


def in_pieces():
    film = io.BytesIO()
    with av.open(film, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for frame in FRAMES:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return film.getvalue()


def with_many(data, kind, before):
    """What stands behind the name of a box is `before` and another count."""
    start = data.index(kind) + 4
    changed = before + MANY.to_bytes(4)
    return data[:start] + changed + data[start + len(changed) :]


@pytest.mark.parametrize(
    ("make", "damage"),
    [
        (whole, lambda data: with_many(data, b"stsz", bytes(7) + b"\1")),
        (in_pieces, lambda data: with_many(data, b"trun", bytes(3) + b"\1")),
    ],
    ids=["stsz", "trun"],
)
def test_more_samples_than_bytes(make, damage):
    data = make()
    assert count_samples(data) == (9, len(data))
    assert len(read_times(data, "it").seconds) == 9
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=f"name {MANY} samples, expected at most one for each"):
        read_times(damage(data), "it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_what_is_no_mp4_names_none(tmp_path):
    for data in (
        b"",
        b"\0" * 7,
        b"\0\0\0\1moov",
        b"RIFF1234AVI ",
        bytes(1000),
        b"\0\0\0\7moov" * 9,
    ):
        (tmp_path / "it").write_bytes(data)
        assert count_samples(data) == count_samples(tmp_path / "it") == (0, len(data))


def test_boxes_within_each_other_and_of_64_bits():
    def box(kind, content, wide=False):
        size = len(content) + (16 if wide else 8)
        head = b"\0\0\0\1" + kind + size.to_bytes(8) if wide else size.to_bytes(4) + kind
        return head + content

    stsz = box(b"stsz", bytes(8) + (5).to_bytes(4))
    tracks = [box(b"trak", box(b"mdia", stsz, wide=True) + stsz) for _ in range(3)]
    data = box(b"ftyp", b"isom") + box(b"moov", b"".join(tracks)) + box(b"free", stsz) + stsz
    assert count_samples(data)[0] == 35
