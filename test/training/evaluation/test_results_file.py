# SPDX-License-Identifier: Apache-2.0
"""The json of an evaluation: begun first, gone on with, and never that of something else."""

import json
import signal
import subprocess
import sys

import pytest

from cosmos3_ros.model.checkpoint_io import json_file
from cosmos3_ros.training.evaluation import results_file
from cosmos3_ros.training.evaluation.results_file import differences

WHAT = {"who": "a", "options": {"num_steps": 4}}
KILLED = """
import os, signal, sys
from pathlib import Path
from cosmos3_ros.training.evaluation.results_file import results

rows = lambda content, name: content["parts"].setdefault(name, [])
with results(Path(sys.argv[1]), {"who": "a", "options": {"num_steps": 4}}, "parts", rows) as kept:
    for seed in map(int, sys.argv[2:]):
        kept.keep("one", {"seed": seed, "value": seed / 3})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def results(out, what, kept):
    return results_file.results(
        out, what, kept, lambda content, name: content[kept].setdefault(name, [])
    )


def kill(out, *seeds):
    """A process that keeps rows of these seeds and is killed."""
    words = [sys.executable, "-c", KILLED, str(out), *map(str, seeds)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL


def row(seed):
    return {"seed": seed, "value": seed / 3}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_begun_at_once_and_gone_on_with(tmp_path):
    out = tmp_path / "new" / "x.json"

    def stopped():
        with results(out, WHAT, "parts"):
            assert json.loads(out.read_text()) == {"what": WHAT, "parts": {}}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not names(out.parent), "nothing was measured"
    with results(out, WHAT, "parts") as kept:
        kept.keep("one", row(1))
    with results(out, WHAT, "parts") as kept:
        assert kept.content["parts"] == {"one": [row(1)]}
        with (
            pytest.raises(ValueError, match=r"x\.json: another process writes to it"),
            results(out, WHAT, "parts"),
        ):
            pass
    other = {"who": "b", "options": {"num_steps": 2, "shift": 1.5}}
    words = "holds results of who 'a', not 'b', num_steps 4, not 2, shift None, not 1.5; expected a"
    with pytest.raises(ValueError, match=words), results(out, other, "parts"):
        pass
    assert json.loads(out.read_text())["parts"] == {"one": [row(1)]}
    assert names(out.parent) == ["x.json"]


def test_a_file_without_results_is_begun_anew(tmp_path):
    out = tmp_path / "x.json"
    out.write_text(json.dumps({"what": {"who": "z"}, "parts": {}}))
    with results(out, WHAT, "parts") as kept:
        assert kept.content == {"what": WHAT, "parts": {}}
    out.write_text(json.dumps({"name": "a file of somebody"}))
    with pytest.raises(ValueError, match="holds results of something else"):
        results(out, WHAT, "parts").__enter__()
    assert json.loads(out.read_text()) == {"name": "a file of somebody"}


def test_every_row_is_kept_when_the_process_is_killed(tmp_path):
    out = tmp_path / "x.json"
    kill(out, 1, 2)
    assert names(tmp_path) == [".x.json.lock", "x.json", "x.jsonl"]
    kill(out, 3)  # goes on with those
    kill(out)
    assert [row["seed"] for row in json.loads(out.read_text())["parts"]["one"]] == [1, 2, 3]
    kill(out, 4)
    with (tmp_path / "x.jsonl").open("a") as journal:
        journal.write('["one", 4, {"seed"')  # was not written to its end
    with results(out, WHAT, "parts") as kept:
        assert kept.content["parts"]["one"] == [*map(row, (1, 2, 3, 4))]
        kept.keep("one", row(5))
    assert json.loads(out.read_text())["parts"]["one"] == [*map(row, (1, 2, 3, 4, 5))]
    assert names(tmp_path) == ["x.json"]


def test_rows_that_the_json_has_already_are_not_taken_twice(tmp_path):
    """Killed between the two: the json is written, the journal is still there."""
    out, journal = tmp_path / "x.json", tmp_path / "x.jsonl"
    kill(out, 1, 2)
    before = journal.read_bytes()
    with results(out, WHAT, "parts"):
        pass
    journal.write_bytes(before)
    with results(out, WHAT, "parts") as kept:
        assert kept.content["parts"]["one"] == [row(1), row(2)]
    journal.write_bytes(before)
    out.unlink()  # by somebody
    with results(out, WHAT, "parts") as kept:
        assert kept.content["parts"]["one"] == [row(1), row(2)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('{"who": "b"}', r"x\.jsonl: holds results of who 'b', not 'a'.*; expected a new file"),
        ('"a question"', r"x\.jsonl: holds results of something else; expected a new file"),
        ("{", r"x\.jsonl:1: not readable as json"),
        (f'{json.dumps(WHAT)}\n["one", 0', r"x\.jsonl:2: not readable as json"),
        (
            f'{json.dumps(WHAT)}\n["one", 0]',
            r"x\.jsonl:2: expected a name, a number and a row, got",
        ),
        (f'{json.dumps(WHAT)}\n["one", 0, 1]', r"x\.jsonl:2: expected a name, a number and a row"),
    ],
)
def test_a_journal_of_something_else_or_a_damaged_one_is_left_alone(tmp_path, lines, words):
    journal = tmp_path / "x.jsonl"
    journal.write_text(f"{lines}\n")
    with pytest.raises(ValueError, match=words), results(tmp_path / "x.json", WHAT, "parts"):
        pass
    assert names(tmp_path) == ["x.jsonl"]
    assert journal.read_text() == f"{lines}\n"


def test_a_row_costs_as_much_however_many_there_are(tmp_path, monkeypatch):
    written, write = [], json_file.write_json
    monkeypatch.setattr(json_file, "write_json", lambda *all: written.append(all) or write(*all))
    with results(tmp_path / "x.json", WHAT, "parts") as kept:
        for seed in range(50):
            kept.keep("one", row(seed))
        assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 51
        assert len(written) == 1
    assert len(written) == 2
    with results(None, WHAT, "parts") as kept:
        kept.keep("one", row(1))
    assert names(tmp_path) == ["x.json"]


def test_few_differences_are_named():
    held = {name: list(range(99)) for name in "abcde"}
    said = differences(held, {})
    assert said == ", ".join(f"{name} [0, 1, 2, ...], not None" for name in "abc") + " and 2 more"
