# SPDX-License-Identifier: Apache-2.0
"""PAI-Bench's folders in: videos by id and seed, and answers as its run.py reads them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos3_ros.training.benchmarks.answer import accuracy, write_pai_bench
from cosmos3_ros.training.benchmarks.layout import Prompts
from cosmos3_ros.training.benchmarks.pai_bench import (
    INFO,
    read_question_cases,
    read_video_cases,
)


@pytest.fixture
def data(tmp_path: Path, picture) -> Path:
    rows = [
        {"video_id": "robot_1", "prompt_en": "An arm lifts a cup.", "image_name": "robot_1.jpg"},
        {"video_id": "av_2", "prompt_en": "A car turns.", "image_name": "../../secret.jpg"},
    ]
    picture(tmp_path / "pai" / "condition_image" / "robot_1.jpg")
    (tmp_path / "pai" / INFO).write_text(json.dumps(rows))
    return tmp_path / "pai"


def test_a_video_for_each_id_and_seed(data, benchmark_command, tmp_path, frames_and_seconds, small):
    words = ("--frames", "5", "--seed", "3", "--seeds", "2", "--only", "robot*")
    code, said = benchmark_command("pai-bench-g", data, "--out", tmp_path / "out", *words, *small)
    assert code == 0, said
    videos = tmp_path / "out" / "videos"
    assert sorted(file.name for file in videos.iterdir()) == ["robot_1__3.mp4", "robot_1__4.mp4"]
    assert frames_and_seconds(videos / "robot_1__3.mp4")[0] == 5
    results = tmp_path / "out" / "results"
    requests = [
        json.loads((results / f"robot_1__{seed}.json").read_text())["request"] for seed in (3, 4)
    ]
    assert [request["seed"] for request in requests] == [3, 4]
    assert {request["fps"] for request in requests} == {24.0}
    assert {request["prompt"] for request in requests} == {"An arm lifts a cup."}


def test_what_leads_out_of_the_folder_fails_alone(data):
    robot, car = read_video_cases(data, "i2v", {}, Prompts(None))
    assert robot.job.options is not None
    assert (robot.job.options.frames, robot.video) == (189, "robot_1__0.mp4")
    assert car.job.options is None
    assert "expected a file below" in car.job.error
    robot, car = read_video_cases(data, "t2v", {}, Prompts(None))
    assert car.job.options is not None
    assert car.job.options.image == ""


def test_published_prompts_are_taken_by_id(data, tmp_path):
    caption = {"subjects": ["a cup"]}
    row = {"video_id": "robot_1", "json_upsampled_prompt": caption, "negative_prompt": "blur"}
    (tmp_path / "prompts.json").write_text(json.dumps([row]))
    robot, car = read_video_cases(data, "t2v", {}, Prompts(tmp_path / "prompts.json"))
    assert robot.job.options is not None
    assert json.loads(robot.job.options.prompt) == caption
    assert robot.job.options.negative == "blur"
    assert "expected a prompt for av_2" in car.job.error


@pytest.fixture
def questions(tmp_path: Path, film) -> Path:
    folder = tmp_path / "understanding"
    film(folder / "videos" / "a" / "1.mp4", 20, 10)
    rows = [
        {
            "question": "What falls?",
            "index2ans": {"A": "a cup", "B": "a car", "C": None},
            "answer": answer,
            "video_path": "videos/a/1.mp4",
            "category": "Space",
            "subcategory": "relation",
        }
        for answer in ("A", "B")
    ]
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "test-00000-of-00001.parquet")
    return folder


def test_answers_are_those_that_its_scorer_compares(questions, tmp_path):
    cases = read_question_cases(questions)
    assert cases[0].words == "What falls?\nA: a cup\nB: a car"
    said = {"00000": "A. a cup", "00001": "I cannot tell"}
    rows = json.loads(write_pai_bench(cases, said, tmp_path).read_text())
    assert [row["answer"] for row in rows] == ["A", "I cannot tell N/A"]
    assert [row["correct_answer"] for row in rows] == ["A", "B"]
    assert {row["category"] for row in rows} == {"Space"}
    assert rows[0]["choices_str"] == "A: a cup\nB: a car"
    assert accuracy(cases, said) == (1, 2)


def test_a_reasoner_answers_them_all(questions, benchmark_command, tmp_path):
    words = ("pai-bench-u", questions, "--out", tmp_path / "out", "--max-tokens", "2")
    code, said = benchmark_command(*words)
    assert code == 0, said
    assert "2 of 2 questions answered" in said
    assert "of 2 choices right" in said
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())) == 2
    assert "1/2" not in benchmark_command(*words)[1]  # nothing was left to ask
