# SPDX-License-Identifier: Apache-2.0
"""Recorded clips with a joint log through the nodes: chunks have its stamps; wrong logs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.ros

JOINTS = [*(f"panda_joint{k}" for k in range(1, 8)), "finger_joint"]
# Public sample footage of NVIDIA Cosmos 3 (OpenMDW-1.1), not part of this repository: tested where
# it lies beside it.
DROID_CLIP = Path(__file__).resolve().parents[4] / "shared" / "data" / "droid_exterior_2.mp4"


def replay(out: Path, *words: str) -> dict:
    """Run the command in a process; its summary."""
    command = [
        sys.executable,
        "-m",
        "cosmos3_ros.cli",
        "replay",
        *words,
        "--out",
        str(out),
        "--no-reasoner",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr + (out / "nodes.log").read_text()
    return json.loads((out / "summary.json").read_text())


def make_clip(path: Path, frames: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15)
        stream.height, stream.width, stream.pix_fmt = 90, 160, "yuv420p"
        for k in range(frames):
            picture = np.full((90, 160, 3), 2 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def write_log(path: Path, rows: int, joints: list[str] = JOINTS) -> Path:
    lines = [",".join(["time", *joints])]
    lines += [
        ",".join(f"{value:.4f}" for value in [k / 15, *([0.01 * k] * len(joints))])
        for k in range(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_chunks_answer_the_stamps_of_the_clip(domain: int, tmp_path: Path) -> None:
    make_clip(tmp_path / "clip.mp4", 90)
    log = write_log(tmp_path / "joints.csv", 90)
    out = tmp_path / "out"
    summary = replay(
        out, str(tmp_path / "clip.mp4"), "--joints", str(log), "--instruction", "follow"
    )
    assert summary["frames"] == 90
    assert summary["chunks"] >= 2
    assert summary["chunks_without_a_frame"] == 0
    frames = np.array(summary["chunk_stamps_in_clip"]) * 15
    assert np.allclose(frames, frames.round(), atol=1e-3), "each stamp is the time of a frame"
    assert (out / "replay.mp4").stat().st_size > 1000


@pytest.mark.skipif(
    not DROID_CLIP.is_file(), reason="the DROID sample clip does not lie beside the repository"
)
def test_real_footage_of_a_droid_robot(domain: int, tmp_path: Path) -> None:
    summary = replay(
        tmp_path, str(DROID_CLIP), "--instruction", "put the object into the bowl", "--frames", "75"
    )
    assert summary["frames"] == 75
    assert summary["chunks"] >= 3
    assert summary["chunks_without_a_frame"] == 0


def test_a_joint_log_is_read_and_interpolated(tmp_path: Path) -> None:
    from cosmos3_ros.apps.replay import JointLog

    log = JointLog(write_log(tmp_path / "joints.csv", 31), JOINTS)
    assert log.at(1_000_000_000) == pytest.approx([0.15] * 8, abs=1e-3)
    assert log.at(10**12) == pytest.approx([0.30] * 8), "the last row holds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda text: text.replace("finger_joint", "thumb"),
            r"lacks the columns \['finger_joint'\]",
        ),
        (lambda text: text.replace("0.0100", "fast", 1), "expected numbers"),
        (lambda text: text + text.splitlines()[1] + "\n", "increasing times"),
        (lambda text: text.replace("0.0100", "nan", 1), "finite"),
    ],
)
def test_a_wrong_joint_log_says_what_is_wrong(tmp_path: Path, change, words: str) -> None:
    from cosmos3_ros.apps.replay import JointLog

    path = write_log(tmp_path / "joints.csv", 5)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=words):
        JointLog(path, JOINTS)


def test_a_clip_for_every_view_is_needed(tmp_path: Path) -> None:
    from cosmos3_ros.apps.replay import parse_videos

    make_clip(tmp_path / "clip.mp4", 2)
    clip = str(tmp_path / "clip.mp4")
    assert set(parse_videos([f"left={clip}", f"right={clip}"], ("left", "right"))) == {
        "left",
        "right",
    }
    for words in ([clip], [f"left={clip}"], [f"left={clip}", f"up={clip}"]):
        with pytest.raises(ValueError, match="expected one VIEW=FILE for each of"):
            parse_videos(words, ("left", "right"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match="is not a video that can be read"):
        parse_videos([str(tmp_path / "text.mp4")], ("one",))
