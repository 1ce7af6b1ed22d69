# SPDX-License-Identifier: Apache-2.0
"""Candidates of every kind of file are the same, and a wrong file is one line with its name."""

import json
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.execution.candidates.candidate_file import read_candidate

TIMES, POSITIONS = [0.5, 1.25], [[0.1, 0.2], [0.3, -0.4]]


def write(path: Path) -> Path:
    if path.suffix == ".csv":
        path.write_text("a, time,b\n0.1,0.5,0.2\n\n0.3,1.25,-0.4\n")
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {"time": TIMES, "a": [0.1, 0.3], "b": [0.2, -0.4]}
        parquet.write_table(pa.table(columns), path)
    else:
        path.write_text(json.dumps({"names": ["a", "b"], "times": TIMES, "positions": POSITIONS}))
    return path


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet"])
def test_all_kinds_say_the_same(tmp_path: Path, ending: str) -> None:
    found = read_candidate(write(tmp_path / f"x{ending}"))
    assert found.names == ("a", "b")
    assert found.times.tolist() == TIMES
    assert found.positions.tolist() == POSITIONS


def test_rows_of_a_chunk_are_due_as_its_rows_are(tmp_path: Path) -> None:
    file = tmp_path / "chunk.json"
    file.write_text(json.dumps({"names": ["a"], "step": 0.1, "positions": [[1], [2], [4]]}))
    assert np.allclose(read_candidate(file).times, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.yaml", "", "expected a file that ends in .csv or .json or .parquet"),
        ("x.csv", "", r"expected a column 'time' and one per joint, got \[\]"),
        ("x.csv", "a,b\n1,2\n", r"expected a column 'time' and one per joint, got \['a', 'b'\]"),
        ("x.csv", "time,time,a\n1,2,3\n", "expected a column 'time'"),
        ("x.csv", "time,a\n1\n", "row 1 has 1 numbers for 2 columns"),
        ("x.csv", "time,a\n1,one\n", "rows: expected numbers, .*'one'"),
        ("x.csv", "time,a\n1,nan\n", "candidate: expected finite positions"),
        ("x.csv", "time,a\n", "candidate: expected 1 to 1000 points, got 0"),
        ("x.csv", "time\n1\n", "candidate: expected distinct joint names, got"),
        ("x.csv", "time,a\n2,1\n1,1\n", "candidate: expected rising times .*, got 2, 1"),
        ("x.csv", b"\xff\xfe\x00", "expected text in UTF-8"),
        ("x.parquet", "no parquet", "not readable as Parquet"),
        ("x.json", "{", "Expecting property name"),
        ("x.json", "[1]", "expected an object with names, positions and times or step"),
        ("x.json", '{"names": ["a"]}', "expected an object with names, positions"),
        ("x.json", '{"names": ["a"], "positions": [[1]]}', "expected either times or step"),
        ("x.json", '{"names": "a", "positions": [[1]], "step": 1}', "names: expected a list"),
        ("x.json", '{"names": ["a"], "positions": [1], "step": 1}', "expected a list of times"),
        ("x.json", '{"names": ["a"], "positions": [[1], [1, 2]], "step": 1}', "positions: expect"),
        ("x.json", '{"names": ["a"], "positions": [[1]], "step": -1}', "step: expected a positive"),
        ("x.json", '{"names": ["a"], "positions": [[1]], "stepp": 1}', "unknown key 'stepp'"),
        (
            "x.json",
            '{"names": ["a"], "positions": [[1]], "times": [null]}',
            "expected finite times",
        ),
        ("x.json", '{"names": ["a"], "positions": [[1]], "times": [1, 2]}', "1 positions in each"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f"{name}: .*{words}") as error:
        read_candidate(file)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.csv: there is no such file"):
        read_candidate(tmp_path / "none.csv")
