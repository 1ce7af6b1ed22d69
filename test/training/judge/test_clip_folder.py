# SPDX-License-Identifier: Apache-2.0
"""Clips of a folder: videos, frames, views; what is none, and what cannot be read."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.interface import Clip
from cosmos3_ros.training.judge.clip_folder import find_clips


def write_frames(folder: Path, count: int, size: tuple[int, int] = (24, 32)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", size[::-1], (10 * number, 0, 0)).save(folder / f"frame{number}.png")


def write_video(file: Path, frames: int = 20, fps: int = 10) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for number in range(frames):
            pixels = np.full((24, 32, 3), number * 10, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_every_kind_of_clip_is_found_and_read(tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4")
    write_frames(tmp_path / "a10", 12)
    write_frames(tmp_path / "a9" / "left", 3)
    write_frames(tmp_path / "a9" / "right", 4)
    write_video(tmp_path / "c" / "one.mp4")
    write_video(tmp_path / "c" / "two.mov")
    write_frames(tmp_path / ".hidden", 2)
    (tmp_path / "notes.txt").write_text("not a clip")
    (tmp_path / "empty").mkdir()
    clips = {clip.name: clip for clip in find_clips(tmp_path)}
    assert list(clips) == ["a9", "a10", "b", "c"]
    assert [len(view) for view in clips["a9"].views] == [3, 4]
    (frames,) = clips["a10"].read(fps=4.0)
    assert isinstance(frames, Clip)
    # 12 frames at 4 Hz are 3 s: 6 of them; 10 and 11 come after 9
    assert frames.indices.tolist() == [0, 2, 4, 7, 9, 11]
    assert [frame[0, 0, 0] for frame in frames.frames] == [0, 20, 40, 70, 90, 110]
    (video,) = clips["b"].read(fps=4.0)
    assert isinstance(video, Clip)
    assert (video.fps, len(video.frames)) == (10.0, 4)
    assert len(clips["c"].read(1.0)) == 2


def test_the_last_picture_alone(tmp_path: Path) -> None:
    write_video(tmp_path / "b.mp4")
    write_frames(tmp_path / "a", 12)
    frames, video = (clip.read(10.0, last=True)[0] for clip in find_clips(tmp_path))
    assert isinstance(frames, np.ndarray)
    assert isinstance(video, np.ndarray)
    assert (frames.shape, frames[0, 0, 0]) == ((24, 32, 3), 110)
    assert video.mean() == pytest.approx(190, abs=5)


def test_a_clip_that_changes_has_another_state(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", 3)
    (clip,) = find_clips(tmp_path)
    before = clip.state()
    assert clip.state() == before
    Image.new("RGB", (99, 99), (1, 2, 3)).save(tmp_path / "a" / "frame1.png")
    assert clip.state() != before


def test_what_is_no_clip_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: expected a folder of clips, got none"):
        find_clips(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file: expected a folder of clips, got a file"):
        find_clips(tmp_path / "file")
    with pytest.raises(ValueError, match=r"expected clips .* got none"):
        find_clips(tmp_path)
    write_frames(tmp_path / "a", 2)
    write_video(tmp_path / "a" / "b.mp4")
    with pytest.raises(ValueError, match="a: expected frames, or a video or a folder of frames"):
        find_clips(tmp_path)
    (tmp_path / "a" / "b.mp4").unlink()
    write_video(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="expected another name, 'a' is a clip beside it"):
        find_clips(tmp_path)


def test_frames_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path / "a", 3)
    (clip,) = find_clips(tmp_path)
    Image.new("RGB", (16, 16)).save(tmp_path / "a" / "frame2.png")
    with pytest.raises(ValueError, match=r"frame2.png: expected 32 x 24 .* got 16 x 16"):
        clip.read(10.0)
    (tmp_path / "a" / "frame1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"frame1\.png"):
        clip.read(10.0)
