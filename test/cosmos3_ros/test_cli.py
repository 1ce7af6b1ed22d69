# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3`: help that is true, and one line for what is wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.training.data.video_io import write_video


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("eval {}/nobody --episodes 1", "checkpoint: no folder {}/nobody"),
        ("train --recipe {}/nobody.yaml", "recipe {}/nobody.yaml does not exist"),
        ("train --recipe {}/start.yaml --out {}/out", "start: no folder path/to/Cosmos3-Nano"),
        ("tiny /proc/tiny", "/proc/tiny: No such file or directory"),
        (
            "convert bag --out {}/data --robot {}/torn.yaml",
            "robot file {}/torn.yaml is not a ROS parameter file: ",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    command: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "start.yaml").write_text("start: path/to/Cosmos3-Nano\n")
    (tmp_path / "torn.yaml").write_text("a: [1,\nb: {\n")
    assert main(command.replace("{}", str(tmp_path)).split()) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {said.replace('{}', str(tmp_path))}")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("eval x --guidanse 2", "cosmos3 eval: error: .* --guidanse, did you mean '--guidance'?"),
        ("run --strategi=sync", "cosmos3 run: error: .*=sync, did you mean '--strategy'?"),
        ("serve openpi --pord 1", "cosmos3 serve openpi: error: .*, did you mean '--port'?"),
        ("tiny x --zzzzzz", "cosmos3: error: unrecognized arguments: --zzzzzz"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(
    command: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command.split())
    assert re.fullmatch(said.replace("?", r"\?"), capfd.readouterr().err.splitlines()[-1])


def test_an_error_of_any_library_is_one_line_unless_asked_for_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of\nmemory\n")

    monkeypatch.setattr("cosmos3_ros.model.checkpoint_io.tiny.write_tiny", fail)
    assert main(["tiny", "out"]) == 1
    line = "error: RuntimeError: CUDA error: out of memory (--debug shows where)\n"
    assert capfd.readouterr().err == line
    with pytest.raises(RuntimeError):
        main(["tiny", "--debug", "out"])


def test_a_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["inspect", "~/nobody"]) == 1
    assert f"{tmp_path}/nobody" in capfd.readouterr().err
    assert main(["tiny", "~/tiny"]) == 0
    assert (tmp_path / "tiny" / "checkpoint.json").is_file()


def test_nobody_reads_on(tmp_path: Path) -> None:
    """As behind `| head`: nothing is said, and the exit code is that of a broken pipe."""
    code = (
        "import sys; from cosmos3_ros.cli import main; "
        "sys.exit(main(['embodiment', 'show', 'bridge']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-u", "-c", code],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("name", EMBODIMENTS)
def test_a_tiny_checkpoint_of_any_embodiment_makes_chunks(name: str, tmp_path: Path) -> None:
    from cosmos3_ros.model.policy import load_policy

    assert main(["tiny", str(tmp_path), "--embodiment", name]) == 0
    policy = load_policy(tmp_path, num_steps=1, guidance=1.0, horizon=4)
    robot = policy.embodiment
    assert robot.name == name
    images = {view: np.full((90, 160, 3), 128, np.uint8) for view in robot.views}
    chunk = policy.infer(Observation(images, robot.neutral_state(), "go there", stamp=1)).chunk
    assert chunk.names == robot.action_names
    assert chunk.values.shape == (4, len(robot.action))
    assert np.isfinite(chunk.values).all()


def test_the_reasoner_is_asked_about_pictures_and_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, clip = tmp_path / "picture.png", tmp_path / "clip.mp4"
    gray = np.full((64, 96, 3), 128, np.uint8)
    assert cv2.imwrite(str(picture), gray)
    write_video(clip, [gray] * 30, 15)
    assert main(["ask", "What is on the table?", str(picture), str(clip), "--max-tokens", "6"]) == 0
    assert capsys.readouterr().out.strip()
    (tmp_path / "words.mp4").write_text("no video")
    assert main(["ask", "What is on the table?", str(tmp_path / "words.mp4")]) == 1
    assert "words.mp4 is neither image nor video: expected" in capsys.readouterr().err


def test_ask_runs_where_the_other_commands_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU if there is one."""
    devices = []
    monkeypatch.setattr(
        "cosmos3_ros.model.registry.ask", lambda *words: devices.append(words[2].device) or ""
    )
    assert main(["ask", "What is there?"]) == main(["ask", "What is there?", "--device", "cpu"])
    assert devices == ["auto", "cpu"]


def test_ctrl_c_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cosmos3_ros.training.train.train", interrupted)
    (tmp_path / "recipe.yaml").write_text("start: ''\n")
    assert main(["train", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path)]) == 130
    assert capfd.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("command", "robot"),
    [("run", "droid_sim"), ("replay", "droid_single_view"), ("record", "droid_sim")],
)
def test_help_has_the_default_robot_of_the_command(
    command: str, robot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"--robot ROBOT robot file: [^-]*\(default: '{robot}'\)", text)


@pytest.mark.parametrize(
    "command",
    [
        *("convert bag --out data --gap nan", "convert bag --out data --shortest inf"),
        *("demo --time-limit inf", "collect data --noise nan", "eval x --latency=-inf"),
        *("eval x --limit nan", "eval x --guidance nan", "serve openpi --shift inf"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(command.split())
    assert "expected a finite number, got" in capsys.readouterr().err
