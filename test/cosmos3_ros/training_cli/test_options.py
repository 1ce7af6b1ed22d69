# SPDX-License-Identifier: Apache-2.0
"""Options of several commands: a checkpoint may be a name on the Hugging Face Hub."""

import pytest

from cosmos3_ros.cli import main


@pytest.mark.parametrize(
    "words",
    [
        "eval a/b",
        "eval a/b --env sim",
        "calibrate a/b",
        "dynamics forward a/b --picture x.png --actions x.csv --out x.mp4",
        "inspect a/b",
        "ask what? --checkpoint a/b",
    ],
)
def test_a_name_on_the_hub_is_fetched_where_a_checkpoint_is_loaded(words, capsys, monkeypatch):
    asked = []

    def fetched(name, **_):
        asked.append(name)
        return "/nowhere/fetched"

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert main(words.split()) == 1
    assert "hf download a/b --local-dir b" in capsys.readouterr().err
    assert main([*words.split(), "--download"]) == 1
    assert asked == ["a/b"]
    assert "no folder /nowhere/fetched" in capsys.readouterr().err
