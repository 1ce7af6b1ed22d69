# SPDX-License-Identifier: Apache-2.0
"""The words of `cosmos3 imagine`, before anything is asked."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.imagine_cli import target
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.video_io import at_rate, write_video

VIEWS = EMBODIMENTS["droid_sim"].views


def test_joints_there() -> None:
    found = target(["a=0.3", "left/b=-1e-1"], 0.5)
    assert found.names == ("a", "left/b")
    assert (found.times.tolist(), found.positions.tolist()) == ([0.5], [[0.3, -0.1]])
    assert target(["a=0"]).is_target


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--joints a", "error: --joints: expected JOINT=POSITION, got 'a'"),
        ("--joints a=x", "error: --joints: expected JOINT=POSITION, got 'a=x'"),
        ("--joints =1", "error: --joints: expected JOINT=POSITION, got '=1'"),
        ("--joints a=1 a=2", "error: --joints: a is there twice"),
        ("--joints a=nan", "error: candidate: expected finite positions, got NaN or infinite ones"),
        ("--joints a=1 --seconds -1", "error: candidate: expected rising times from 0 to 30 s"),
        ("--file no.csv", "error: no.csv: there is no such file"),
        ("--topic x --seconds 1", "error: --seconds: expected with --joints only"),
        ("--joints a=1 --out clip.avi", "error: --out: expected a file that ends in .mp4, got"),
    ],
)
def test_wrong_words_are_one_line(
    words: str, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["imagine", *words.split()]) == 1
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_one_candidate_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--joints", "a=1", "--topic", "x"]):
        with pytest.raises(SystemExit):
            main(["imagine", *words])
    assert "--file" in capsys.readouterr().err


WORDS = ["--instruction", "lift the cube", "--robot", "droid_sim"]
STATE = "--state=0,-0.6,0,-2.5,0,1.9,0,0"


def read_video(file: Path) -> np.ndarray:
    return np.stack(at_rate(file, EMBODIMENTS["droid_sim"].fps, 0))


def pictures(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    for view in VIEWS:
        pixels = random.integers(0, 256, (36, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{view}.png"), pixels)
    return [f"{view}={folder / view}.png" for view in VIEWS]


def test_pictures_a_state_and_a_candidate_to_the_policys_own_clip(
    smallest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `~/imagine` would answer for the same picture and the same candidate."""
    shown, out = ["--picture", *pictures(tmp_path)], tmp_path / "c" / "clip.mp4"
    words = ["imagine", "--checkpoint", str(smallest), *WORDS, *shown]
    joints = ["--joints", "panda_joint1=0.3", "finger_joint=0.8"]
    assert main([*words, *joints, STATE, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "imagined a target, reached after 1.07 s; not named, so at rest: panda_joint2" in said
    assert "17 frames, 1.07 s, of 'lift the cube'" in said
    frames = read_video(out)
    names = [f"panda_joint{k}" for k in range(1, 8)]
    at = [f"{name}={x}" for name, x in zip(names, (0, -0.6, 0, -2.5, 0, 1.9, 0), strict=True)]
    again = tmp_path / "again.mp4"
    assert main([*words, *joints, "--at", *at, "finger_joint=0", "--out", str(again)]) == 0
    assert np.array_equal(read_video(again), frames), "the same by the joints' names"
    policy = load_policy(smallest)
    images = {view: cv2.imread(str(tmp_path / f"{view}.png"))[..., ::-1] for view in VIEWS}
    state = np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0], np.float32)
    values = np.tile(state, (16, 1))
    values[:, 0], values[:, 7] = 0.3 * np.arange(1, 17) / 16, 1.0
    body = policy.embodiment
    chunk = ActionChunk(values, body.action_names, 0, body.step, body.discrete)
    seen = Observation(
        {view: np.ascontiguousarray(image) for view, image in images.items()},
        state,
        "lift the cube",
        0,
    )
    wanted = policy.decode(policy.imagine(seen, chunk)).frames
    write_video(again.with_name("wanted.mp4"), wanted, 15)
    assert np.array_equal(frames, read_video(again.with_name("wanted.mp4")))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "--checkpoint: expected --picture, --episode or --bag with it, got none"),
        (["--topic", "x"], "--topic: expected --file or --joints with --checkpoint"),
        (["--robot", "nobody"], "unknown robot 'nobody'"),
        (["--at", "panda_joint1=1"], "--at: expected each of ['panda_joint1', "),
        ([], "{pictures}: no states; say with --state where the robot is"),
        (["--frame", "3"], "{pictures}: expected a frame of 0 to 0, got 3"),
        ([STATE, "--joints", "panda_joint1=9"], "candidate: panda_joint1 is at 9.000 in point 1"),
        ([STATE, "--instruction", "go " * 3000], "prompt: 6123 tokens, expected at most 4096"),
    ],
)
def test_what_cannot_be_imagined_of_files_is_one_line(
    smallest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    shown = pictures(tmp_path)
    given = ["imagine", "--checkpoint", str(smallest), *WORDS, "--out", str(tmp_path / "a.mp4")]
    if "got none" not in line and "--topic" not in words:
        given += ["--picture", *shown]
    if "--topic" not in words and "--joints" not in words:
        given += ["--joints", "panda_joint1=0.1"]
    assert main([*given, *words]) == 1
    told = capsys.readouterr().err
    files = ", ".join(word.partition("=")[2] for word in shown)
    assert told.startswith("error: " + line.replace("{pictures}", files))
    assert told.count("\n") == 1
    assert not (tmp_path / "a.mp4").exists()


def test_what_a_running_policy_has_is_no_option_there(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--robot", "x"], ["--at", "a=1"], ["--dtype", "bfloat16"]):
        assert main(["imagine", "--joints", "a=1", *words]) == 1
        line = f"error: {words[0]}: expected with --checkpoint only, a running policy has its own"
        assert capsys.readouterr().err.startswith(line)
