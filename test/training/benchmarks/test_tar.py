# SPDX-License-Identifier: Apache-2.0
"""TAR's list of questions in, the submission that its evaluate.py validates out."""

import csv
import json
from pathlib import Path

import pytest

from cosmos3_ros.training.benchmarks.answer import write_tar
from cosmos3_ros.training.benchmarks.tar import read_cases

CLIP = "tar_test/v=abc_0-00_0-16.mp4"
ITEMS = [
    {"item_index": "00ff", "task_type": "bcq", "question": "Does it rain?\nAnswer with Yes or No."},
    {"item_index": "01ff", "task_type": "mcq", "question": "Which?\nA) one\nB) two"},
    {"item_index": "02ff", "task_type": "open_qa", "question": "Why?"},
]


@pytest.fixture
def data(tmp_path: Path, film) -> Path:
    folder = tmp_path / "TAR"
    (folder / "test").mkdir(parents=True)
    items = [{**item, "video_id": CLIP, "answer": ""} for item in ITEMS]
    content = {"metadata": {"answers_redacted": True}, "items": items}
    (folder / "test" / "test.json").write_text(json.dumps(content))
    film(folder / "videos" / CLIP, 20, 10)
    return folder


def table(file: Path) -> list[list[str]]:
    with file.open(newline="") as stream:
        return [*csv.reader(stream)]


def test_predictions_are_words_letters_and_free_text(data, tmp_path):
    cases = read_cases(data)
    assert cases[0].media == data / "videos" / CLIP
    said = {"00ff": "<think>No rain?</think>yes, it does", "01ff": "B) two", "02ff": 'It, "\nrains'}
    assert table(write_tar(cases, said, tmp_path)) == [
        ["item_index", "prediction"],
        ["00ff", "Yes"],
        ["01ff", "B"],
        ["02ff", 'It, "\nrains'],
    ]


def test_a_missing_video_leaves_its_question_out(data, benchmark_command, tmp_path):
    content = json.loads((data / "test" / "test.json").read_text())
    content["items"][2]["video_id"] = "tar_test/gone.mp4"
    (data / "test" / "test.json").write_text(json.dumps(content))
    words = ("tar", data, "--out", tmp_path / "out", "--max-tokens", "2")
    code, said = benchmark_command(*words)
    assert code == 1
    assert "2 of 3 questions answered" in said
    assert "error: 02ff is left out: no file" in said
    rows = table(tmp_path / "out" / "submission.csv")
    assert [row[0] for row in rows] == ["item_index", "00ff", "01ff"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a list of objects"),
        ('[{"video_id": "a.mp4"}]', "item 0: expected question, got video_id"),
        ('[{"video_id": "../../a", "question": "b"}]', "expected a file below"),
    ],
)
def test_what_is_wrong_with_the_list_is_said(tmp_path, content, words):
    file = tmp_path / "test.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_cases(tmp_path)
