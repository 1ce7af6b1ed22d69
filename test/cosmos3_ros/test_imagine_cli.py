# SPDX-License-Identifier: Apache-2.0
"""The words of `cosmos3 imagine`, before anything is asked."""

from pathlib import Path

import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.imagine_cli import target


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
