# SPDX-License-Identifier: Apache-2.0
"""The temperature of a checkpoint's probabilities of yes: kept, read, used, refused, forgotten."""

import json
import shutil
from pathlib import Path

import pytest

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.checkpoint_io.yes_temperature import write_yes_temperature, yes_temperature
from cosmos3_ros.model.language.yes_or_no import with_temperature
from cosmos3_ros.model.reasoner import load_reasoner


def test_it_is_kept_beside_what_else_is_said(tmp_path: Path) -> None:
    assert yes_temperature(tmp_path) == 1.0
    file = tmp_path / "checkpoint.json"
    before = {"policy": {"tasks": ["lift"]}, "reasoner": {"other": 1}}
    file.write_text(json.dumps(before))
    write_yes_temperature(tmp_path, 2.5)
    assert yes_temperature(tmp_path) == 2.5
    assert json.loads(file.read_text())["reasoner"] == {"other": 1, "yes_temperature": 2.5}
    write_yes_temperature(tmp_path, None)
    assert json.loads(file.read_text()) == before
    write_yes_temperature(tmp_path / "empty", None)
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("value", ["0", "-1", '"2"', "true", "NaN", "Infinity", "null"])
def test_a_wrong_one_is_refused_in_words(tmp_path: Path, value: str) -> None:
    text = f'{{"reasoner": {{"yes_temperature": {value}}}}}'
    (tmp_path / "checkpoint.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"checkpoint\.json: reasoner\.yes_temperature: expected a"
    ):
        yes_temperature(tmp_path)


def test_a_reasoner_answers_as_it_is_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cosmos3_ros.model.language.yes_or_no.MOST", 0.0)  # random weights
    folder = shutil.copytree(tiny_checkpoint(), tmp_path / "checkpoint")
    plain = load_reasoner(folder).ask("Is it open?", max_tokens=2)
    write_yes_temperature(folder, 3.0)
    cooled = load_reasoner(folder).ask("Is it open?", max_tokens=2)
    assert cooled.text == plain.text
    assert cooled.yes == pytest.approx(with_temperature(plain.yes, 3.0))
    assert abs(cooled.yes - 0.5) < abs(plain.yes - 0.5)
