# SPDX-License-Identifier: Apache-2.0
"""Examinations: rates by task and group, averages, and a json that goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos3_ros.training.worlds import exam as exams
from cosmos3_ros.training.worlds.exam import EXPERT, Candidate, Exam, examine, summarize, table
from cosmos3_ros.training.worlds.rollout import EpisodeResult

EVEN = Exam("ideal", "", ("1", "2", "3"), 100, 4)


def test_groups_are_rated_by_episode_and_averaged_by_group():
    results = [EpisodeResult("a", seed, seed < 3, 10 + seed) for seed in range(4)]
    results += [EpisodeResult("b", seed, True, 7) for seed in range(2)]
    results += [EpisodeResult("c", 0, False, 50)]
    summary = summarize(results, {"easy": ("a", "b"), "hard": ("c",), "never": ("d",)})
    assert summary["tasks"]["a"]["rate"] == 0.75
    assert summary["tasks"]["a"]["steps"] == 11
    assert summary["groups"]["easy"]["rate"] == pytest.approx(5 / 6)
    assert set(summary["groups"]) == {"easy", "hard"}
    assert summary["score"] == pytest.approx((5 / 6 + 0) / 2)
    assert summary["episodes"]["rate"] == pytest.approx(5 / 7)
    # Wilson's interval of 3 of 4
    assert summary["tasks"]["a"]["low"] == pytest.approx(0.3006, abs=1e-4)
    assert summary["tasks"]["a"]["high"] == pytest.approx(0.9544, abs=1e-4)
    text = table(summary)
    assert "3/4   75.0%  30.1% to 95.4%" in " ".join(text.split(" "))
    assert text.splitlines()[-1].split() == ["average", "of", "groups", "41.7%"]


def test_an_expert_is_examined_and_a_stopped_run_goes_on(ideal, tmp_path, monkeypatch):
    out = tmp_path / "expert.json"
    said = []
    text = examine(Candidate(EXPERT), EVEN, ideal, 1, out, said.append)
    assert "2/4" in text  # every other seed can be solved
    content = json.loads(out.read_text())
    assert content["what"]["seeds"] == [100, 103]
    assert content["what"]["protocol"] == "plain"
    assert content["summary"]["score"] == 0.5
    assert [row["success"] for row in content["tasks"]["3"]] == [True, False, True, False]
    assert said[0] == "1/12  1 100: solved"
    del content["tasks"]["2"], content["tasks"]["3"][1]
    out.write_text(json.dumps(content))
    played = []
    play = exams.play_expert
    monkeypatch.setattr(
        exams, "play_expert", lambda *given: played.append(given[1:]) or play(*given)
    )
    assert examine(Candidate(EXPERT), EVEN, ideal, 1, out, said.append) == text
    assert played == [*(("2", seed) for seed in range(100, 104)), ("3", 101)]
    assert [row["seed"] for row in json.loads(out.read_text())["tasks"]["3"]] == [*range(100, 104)]
    assert examine(Candidate(EXPERT), EVEN, ideal, 1, out, said.append) == text
    less = Exam("ideal", "", ("1",), 100, 3)
    with pytest.raises(
        ValueError,
        match=r"expert\.json: holds results of seeds \[100, 103\], not \[100, 102\], tasks "
        r"\['1', '2', '3'\], not \['1'\]; expected a new file",
    ):
        examine(Candidate(EXPERT), less, ideal, 1, out)
    with pytest.raises(ValueError, match=r"out: expected a file named \.json"):
        examine(Candidate(EXPERT), EVEN, ideal, 1, tmp_path / "expert.txt")
    for cut in (out.read_bytes()[:50], b"[]", b"\xff"):
        out.write_bytes(cut)
        with pytest.raises(ValueError, match=r"expert\.json: expected results, "):
            examine(Candidate(EXPERT), EVEN, ideal, 1, out)


def test_each_episode_is_kept_whenever_it_ends(ideal, tmp_path, monkeypatch):
    """Ctrl-C in the fourth of four: three are there, and one is played by the next call."""
    out, exam = tmp_path / "expert.json", Exam("ideal", "", ("1",), 100, 4)
    play = exams.play_expert

    def interrupted(world, task, seed):
        if seed == 103:
            raise KeyboardInterrupt
        return play(world, task, seed)

    monkeypatch.setattr(exams, "play_expert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        examine(Candidate(EXPERT), exam, ideal, 1, out, lambda said: None)
    assert [row["seed"] for row in json.loads(out.read_text())["tasks"]["1"]] == [100, 101, 102]
    assert [file.name for file in tmp_path.iterdir()] == ["expert.json"]
    monkeypatch.setattr(exams, "play_expert", play)
    assert "2/4" in examine(Candidate(EXPERT), exam, ideal, 1, out, lambda said: None)


def test_the_json_is_that_of_a_run_that_was_not_killed(ideal, tmp_path):
    """SIGKILL after two of four episodes, then the same command: the same json."""
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from conftest import Ideal, Point, catalog\n"
        "from cosmos3_ros.training.worlds.exam import EXPERT, Candidate, Exam, examine\n"
        "catalog.entry_points = lambda group: [Point(Ideal)]\n"
        "tell = lambda said: said[0] == '2' and os.kill(os.getpid(), signal.SIGKILL)\n"
        "exam = Exam('ideal', '', ('1', '3'), 100, 2)\n"
        "examine(Candidate(EXPERT), exam, Ideal(), 1, Path(sys.argv[2]), tell)\n"
    )
    out, exam = tmp_path / "killed.json", Exam("ideal", "", ("1", "3"), 100, 2)
    words = [sys.executable, "-c", code, str(Path(__file__).parent), str(out)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    said, whole = [], tmp_path / "whole.json"
    text = examine(Candidate(EXPERT), exam, ideal, 1, out, said.append)
    assert said == ["1/2  3 100: solved", "2/2  3 101: failed"]
    assert examine(Candidate(EXPERT), exam, ideal, 1, whole, said.append) == text
    killed, other = (json.loads(file.read_text()) for file in (out, whole))
    assert [*killed] == [*other] == ["what", "tasks", "summary", "about"]
    assert [killed[name] for name in ("what", "tasks", "summary")] == [
        other[name] for name in ("what", "tasks", "summary")
    ]


def test_what_cannot_be_kept_is_said_before_anything_is_played(ideal, tmp_path, monkeypatch):
    monkeypatch.setattr(exams, "play_expert", lambda *given: pytest.fail("played"))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"exists|directory"):
        examine(Candidate(EXPERT), EVEN, ideal, 1, tmp_path / "file" / "expert.json")
    with pytest.raises(ValueError, match="checkpoint: no folder nowhere"):
        examine(Candidate("nowhere"), EVEN, ideal, 1, tmp_path / "x.json")
    with pytest.raises(ValueError, match="has no transformer/"):
        examine(Candidate(str(tmp_path)), EVEN, ideal, 1, tmp_path / "x.json")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_checkpoint_is_examined(ideal, tiny_small, tmp_path):
    exam, out = Exam("ideal", "", ("1",), 101, 1), tmp_path / "tiny.json"
    options = (("num_steps", 1), ("future_steps", 0))
    text = examine(Candidate(str(tiny_small), 8, options), exam, ideal, 1, out, lambda said: None)
    assert "0/1" in text  # an odd seed cannot be solved
    (row,) = json.loads(out.read_text())["tasks"]["1"]
    assert row["steps"] == ideal.horizon
    assert row["chunk_seconds"] > 0
    assert json.loads(out.read_text())["what"]["who"].startswith("weights ")
    with pytest.raises(ValueError, match="holds results"):
        examine(Candidate(EXPERT), exam, ideal, 1, out)
