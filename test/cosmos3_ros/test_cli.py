# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3`: help that is true, and one line for what is wrong."""

import argparse
import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosmos3_ros.cli import EXTRAS, ROS, command_parser, main
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.surprise.network import SurpriseNetwork
from cosmos3_ros.model.surprise.reference import Reference
from cosmos3_ros.model.surprise.reference_file import FILE, write_reference
from cosmos3_ros.training.data.video_io import write_video

ROOT = Path(__file__).resolve().parents[2]
# Import names that are not those of the requirement.
IMPORTED = {"pin": "pinocchio", "pyyaml": "yaml", "pillow": "PIL", "opencv-python-headless": "cv2"}
# Runs commands as where neither ROS 2 nor an extra is installed; a line for each.
BARE = """
import importlib.abc, sys
from cosmos3_ros.cli import EXTRAS, ROS, command_parser, main

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ROS or name in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for command in sys.argv[1:]:
    assert main(command.split()) == 1
"""
NEEDS_ROS = (
    "run",
    "view",
    "demo",
    "replay clip.mp4",
    "task x",
    "live video x",
    "demonstrate",
    "record {}/bag",
)


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
    out, err = capsys.readouterr()
    assert (bool(out.strip()), err) == (True, "")
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


def test_an_answer_without_a_picture_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "Which cubes are there?", "--max-tokens", "4"]) == 0
    out, err = capfd.readouterr()
    assert out.strip()
    assert "no picture: answered from the words alone" in err.splitlines()


def test_inspect_reads_the_calibration_of_surprise_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoint"
    assert main(["tiny", str(folder)]) == 0
    network = SurpriseNetwork(2, (2, 3)).eval()
    places, scale = np.zeros((2, 3), np.int64), np.ones(2, np.float32)
    write_reference(folder / FILE, Reference(("wrist",), places, scale, (network,), 1.0, {}))
    assert main(["inspect", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("complete\n")
    whole = (folder / FILE).read_bytes()
    for damaged in (whole[:-40], whole[:20], whole.replace(b"layout", b"layers")):
        (folder / FILE).write_bytes(damaged)
        assert main(["inspect", str(folder)]) == 1
        line = capsys.readouterr().out.splitlines()[-1]
        assert line.startswith(f"refused     (surprise) {folder / FILE}: ")


def test_help_says_which_commands_need_ros() -> None:
    (commands,) = (
        action
        for action in command_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    marked = {each.dest for each in commands._choices_actions if str(each.help).endswith("(ROS)")}
    assert marked == {command.split()[0] for command in NEEDS_ROS}


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


def required(which: str) -> dict[str, list[str]]:
    """Import names of what a keyword of setup.py requires, by extra."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    (call,) = (
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and n.keywords and any(k.arg == which for k in n.keywords)
    )
    (value,) = (k.value for k in call.keywords if k.arg == which)
    lists = (
        {k.value: v for k, v in zip(value.keys, value.values, strict=True)}
        if isinstance(value, ast.Dict)
        else {"": value}
    )
    return {
        extra: [
            IMPORTED.get(name.lower(), name)
            for each in found.elts
            for name in re.findall(r"^[\w-]+", each.value)
        ]
        for extra, found in lists.items()
        if isinstance(found, ast.List)
    }


def imported() -> Iterator[tuple[str, str]]:
    """What the product imports from elsewhere, and the file that does."""
    for folder in ("model", "sim", "serve", "training", "cosmos3_ros"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    below = isinstance(node, ast.ImportFrom) and not node.level
                    names = [str(node.module)] if below else []
                yield from ((name.partition(".")[0], str(file)) for name in names)


def test_what_an_extra_brings_is_what_setup_py_says() -> None:
    extras = {
        extra: names for extra, names in required("extras_require").items() if extra != "test"
    }
    assert {name: extra for extra, names in extras.items() for name in names} == EXTRAS


def test_whatever_is_imported_is_installed_or_has_a_remedy() -> None:
    always = {*sys.stdlib_module_names, *required("install_requires")[""], "cosmos3_ros"}
    known = always | {"triton", "huggingface_hub"} | ROS | EXTRAS.keys()
    assert not {each for each in imported() if each[0] not in known}


def test_what_is_not_installed_is_named_with_its_remedy(tmp_path: Path) -> None:
    ros = "error: No module named '.*'; this needs ROS 2: source its setup.bash, or use `make`, or"
    said = dict.fromkeys((*NEEDS_ROS, "live actions", "imagine --joints a=1"), ros) | {
        "collect {}/data --episodes 1": "error: this needs mujoco: pip install 'cosmos3_ros.sim.'$",
        "eval embedded --episodes 1": "error: this needs mujoco: pip install 'cosmos3_ros.sim.'$",
        "convert {}/bag --out {}/data": "error: this needs rosbags: .* 'cosmos3_ros.train.'$",
    }
    commands = [command.replace("{}", str(tmp_path)) for command in said]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *commands], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line, (command, words) in zip(done.stderr.splitlines(), said.items(), strict=True):
        assert re.match(words, line), (command, line)
