# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 judge` with a small checkpoint, with an endpoint that serves the same, and refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.checkpoint_io.yes_temperature import write_yes_temperature, yes_temperature
from cosmos3_ros.model.reasoner import load_reasoner
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.openai_server import OpenAiServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for clip in ("a", "b"):
        (tmp_path / "clips" / clip).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "clips" / clip / f"{number}.png")
    line = {"question": "Is it?", "dimension": "physical laws", "answer": "yes"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


def judge(folder: Path, out: str, *more: str) -> int:
    questions = str(folder / "questions.jsonl")
    command = ["judge", str(folder / "clips"), "--questions", questions, "--show", "last"]
    return main([*command, "--out", str(folder / out), *more])


def test_a_checkpoint_and_an_endpoint_are_asked_alike(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = ("--checkpoint", str(tiny_checkpoint()), "--device", "cpu", "--max-tokens", "4")
    assert judge(folder, "local", *local) == 0
    printed = capsys.readouterr().out
    assert "2/2  b: Is it?" in printed
    assert "judge.md and " in printed
    server = OpenAiServer(load_reasoner(tiny_checkpoint(), max_tokens=64), "tiny")
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        url = f"http://127.0.0.1:{port}/v1"
        assert judge(folder, "remote", "--url", url, "--max-tokens", "4") == 0
    mine, theirs = (
        json.loads((folder / out / "judge.json").read_text()) for out in ("local", "remote")
    )
    for one, other in zip(mine["answers"], theirs["answers"], strict=True):
        assert (one["clip"], one["said"], one["yes"]) == (
            other["clip"],
            other["said"],
            pytest.approx(other["yes"], abs=1e-4),
        )
    assert theirs["asked"]["by"] == url
    capsys.readouterr()
    assert judge(folder, "local", *local) == 0
    assert "b: Is it?" not in capsys.readouterr().out  # nothing was left to ask


def test_calibration_is_kept_with_the_checkpoint(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmos3_ros.model.language.yes_or_no.MOST", 0.0)  # random weights
    checkpoint = shutil.copytree(tiny_checkpoint(), folder / "checkpoint")
    mine = ("--checkpoint", str(checkpoint), "--device", "cpu", "--calibrate")
    assert judge(folder, "out", *mine) == 1  # two answers, both wrong
    assert "such that fix no temperature" in capsys.readouterr().err
    assert "reasoner" not in json.loads((checkpoint / "checkpoint.json").read_text())
    write_yes_temperature(checkpoint, 2.0)
    monkeypatch.setattr("cosmos3_ros.training.judge.summary.fit_temperature", lambda *_: 1.2)
    assert judge(folder, "out", *mine) == 1  # the answers were given by another calibration
    assert "choose another --out" in capsys.readouterr().err
    assert judge(folder, "other", *mine) == 0
    assert "yes_temperature 2.4, it was 2" in capsys.readouterr().out
    assert yes_temperature(checkpoint) == 2.4


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--questions", "/nowhere.jsonl"), "/nowhere.jsonl: No such file or directory"),
        (("--fps", "0"), "--fps: expected a positive number, got 0.0"),
        (("--url", "ftp://x"), "remote_url: expected http(s)://HOST[:PORT]/v1, got 'ftp://x'"),
        (
            ("--url", "http://127.0.0.1:9/v1", "--video-pruning-rate", "0.5"),
            "--video-pruning-rate: expected 0 with --url, the endpoint prunes",
        ),
        (
            ("--calibrate",),
            "--calibrate: expected --checkpoint, into which it writes, and no --url",
        ),
    ],
    ids=["questions", "fps", "url", "pruning", "calibrate"],
)
def test_a_refusal_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    assert judge(folder, "out", *more) == 1
    assert capsys.readouterr().err.strip() == f"error: {words}"
    assert not (folder / "out").exists()
