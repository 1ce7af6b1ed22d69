# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a folder or options is said in one line, before anything is made."""

import json

import pytest

from cosmos3_ros.model.generation.batch import Job
from cosmos3_ros.training.benchmarks.cases import VideoCase, choose
from cosmos3_ros.training.benchmarks.layout import Prompts, below


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("physics-iq", "gone"), "gone: expected the folder of the benchmark, got none"),
        (("pai-bench-g", "gone"), "gone: expected the folder of the benchmark, got none"),
        (("pai-bench-u", "gone"), "gone: expected data/test-*.parquet in it, got none"),
        (("rbench", "gone"), "gone: expected prompts/CATEGORY_prompts.json in it, got none"),
        (("rbench", "gone", "--frames", "1"), "--frames: expected the length of a video, got 1"),
        (("tar", "gone"), "gone: expected the folder of the benchmark, got none"),
        (("pai-bench-g", "gone", "--prompts", "no.json"), "no.json: No such file or directory"),
    ],
)
def test_a_folder_that_is_none(benchmark_command, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    assert benchmark_command(*words) == (1, f"error: {said}\n")
    assert [*tmp_path.iterdir()] == []


def test_cases_are_chosen_by_name():
    cases = [VideoCase(Job(name, None), f"{name}.mp4") for name in ("a_1", "a_2", "b_1")]
    assert [case.name for case in choose(cases, "a_*")] == ["a_1", "a_2"]
    with pytest.raises(ValueError, match="--only: expected a pattern of one of 3 names"):
        choose(cases, "c*")
    with pytest.raises(ValueError, match="'a_1' stands twice"):
        choose([*cases, cases[0]], "*")


def test_prompts_are_one_file_or_several(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"name": "one", "prompt": "first"}]))
    (tmp_path / "b.json").write_text(json.dumps([{"name": "two", "prompt": " "}]))
    prompts = Prompts(tmp_path)
    assert prompts.of("one", "own") == {"prompt": "first"}
    assert Prompts(None).of("one", "own") == {"prompt": "own"}
    with pytest.raises(ValueError, match="two: expected text in prompt"):
        prompts.of("two", "own")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected JSON files with prompts"):
        Prompts(tmp_path / "empty")


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "a/../../x"])
def test_a_name_does_not_lead_out_of_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match="entry 1: expected a file below"):
        below(tmp_path, name, "entry 1")
