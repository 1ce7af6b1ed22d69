# SPDX-License-Identifier: Apache-2.0
"""The words of `cosmos3 live`, before anything is asked."""

import pytest

from cosmos3_ros.cli import main


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["video", "go", "--out", "a.avi"],
            "--out: expected a file that ends in .mp4, got 'a.avi'",
        ),
        (["video", "go", "--frames", "-1"], "--frames: expected 0 or more, less than 2^32, got -1"),
        (["video", "go", "--steps", str(2**32)], "--steps: expected 0 or more, less than 2^32"),
        (["video", "go", "--seed", "-1"], "--seed: expected 0 or more, less than 2^32, got -1"),
        (["actions", "--out", "a.mp4"], "--out: expected a file that ends in .csv, got 'a.mp4'"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *words]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {line}")
    assert told.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["video"], ["video", "go", "--guidance", "nan"]])
def test_what_is_no_command_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["live", *words])
