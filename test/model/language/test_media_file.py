# SPDX-License-Identifier: Apache-2.0
"""Files that people ask about: images upright and whole, the frames of a video, and the rest."""

import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.interface import Clip
from cosmos3_ros.model.language.media_file import read_media

RED, BLUE = (200, 20, 20), (20, 20, 200)


def two_colors(height: int = 48, width: int = 96) -> np.ndarray:
    """Red on the left, blue on the right."""
    picture = np.full((height, width, 3), RED, np.uint8)
    picture[:, width // 2 :] = BLUE
    return picture


def write_video(path: Path, frames: list[np.ndarray], rate: int, codec: str = "libx264") -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tiff"])
def test_an_image_is_read_in_its_colors(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"picture.{kind}"
    assert cv2.imwrite(str(file), cv2.cvtColor(two_colors(), cv2.COLOR_RGB2BGR))
    pixels = read_media(file)
    assert pixels.shape == (48, 96, 3)
    assert np.abs(pixels[24, 20].astype(int) - RED).max() < 12
    assert np.abs(pixels[24, 76].astype(int) - BLUE).max() < 12


def test_an_image_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(two_colors()).save(tmp_path / "turned.jpg", exif=exif)
    pixels = read_media(tmp_path / "turned.jpg")
    assert pixels.shape == (96, 48, 3)
    assert pixels[20, 24, 0] > 150 > pixels[76, 24, 0], "red above blue"


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.mov", "clip.avi"])
def test_two_frames_a_second_of_a_video_are_read(name: str, tmp_path: Path) -> None:
    """As the reasoner's own processor takes them: evenly spread, first and last included."""
    frames = [np.full((48, 64, 3), 3 * k, np.uint8) for k in range(61)]
    write_video(tmp_path / name, frames, 15, "mpeg4" if name.endswith("avi") else "libx264")
    clip = read_media(tmp_path / name)
    assert isinstance(clip, Clip)
    assert clip.fps == pytest.approx(15)
    assert clip.indices.tolist() == [0, 9, 17, 26, 34, 43, 51, 60]
    shown = [frame.mean() for frame in clip.frames]
    assert shown == pytest.approx([3 * index for index in clip.indices], abs=5)


def test_a_video_stands_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clip.mp4"
    write_video(file, [two_colors()] * 4, 2)
    data = bytearray(file.read_bytes())
    # the matrix of the track: 16.16 and 2.30 fixed point, here a quarter turn clockwise
    one, top = (1 << 16).to_bytes(4, "big"), (1 << 30).to_bytes(4, "big")
    zero, minus = bytes(4), (-(1 << 16)).to_bytes(4, "big", signed=True)
    upright = one + zero * 3 + one + zero * 3 + top
    at = data.index(b"tkhd")
    at = data.index(upright, at)
    data[at : at + 36] = zero + one + zero + minus + zero * 4 + top
    file.write_bytes(data)
    clip = read_media(file)
    assert isinstance(clip, Clip)
    picture = clip.frames[0]
    assert picture.shape == (96, 48, 3)
    assert picture[20, 24, 0] > 150 > picture[76, 24, 0], "red above blue"


def damaged(folder: Path, kind: str) -> Path:
    """A file of some kind that is no picture and no video."""
    file = folder / kind
    if kind == "folder":
        file.mkdir()
    elif kind == "half.jpg":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)).save(
            file
        )
        file.write_bytes(file.read_bytes()[:9000])
    elif kind == "half.mp4":
        write_video(file, [two_colors()] * 30, 15)
        file.write_bytes(file.read_bytes()[:600])
    elif kind == "sound.mp4":
        with av.open(str(file), "w") as container:
            stream = container.add_stream("aac", rate=48000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 48000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    elif kind == "list.m3u8":
        file.write_text("#EXTM3U\n#EXTINF:1\n/etc/passwd\n")
    elif kind != "nobody.png":
        file.write_bytes({"empty.mp4": b""}.get(kind, b"words, and no picture\n" * 40))
    return file


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nobody.png", "no file {}"),
        ("folder", "{} is a folder: expected an image"),
        ("half.jpg", "{} is damaged: its end is missing (9000 bytes)"),
        ("half.mp4", "{} is neither image nor video: expected an image "),
        ("sound.mp4", "{} has sound, but no pictures"),
        ("words.txt", "{} is neither image nor video: expected an image "),
        ("words.mp4", "{} is neither"),
        ("empty.mp4", "{} is neither"),
        ("list.m3u8", "{} is neither"),
    ],
)
def test_what_is_neither_is_named(kind: str, words: str, tmp_path: Path) -> None:
    file = damaged(tmp_path, kind)
    with pytest.raises(ValueError, match=re.escape(words.format(file))):
        read_media(file)
