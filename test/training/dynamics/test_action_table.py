# SPDX-License-Identifier: Apache-2.0
"""Tables of actions: written and read again in the embodiment's units; what is refused."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.training.dynamics.action_table import read_actions, write_actions

ARM = EMBODIMENTS["droid_sim"]
NAMES = ARM.action_names
DEGREES = (*(Column(name, "deg") for name in NAMES[:7]), Column("gripper", "mm", True, opened=80))
IN_DEGREES = dataclasses.replace(ARM, state=DEGREES, action=DEGREES)


def a_table(rows=6):
    values = np.random.default_rng(0).uniform(-1, 1, (rows, 8)).astype(np.float32)
    values[:, 7] = np.arange(rows) > rows / 2
    return values


@pytest.mark.parametrize("embodiment", [ARM, IN_DEGREES], ids=["rad", "deg"])
def test_what_is_written_is_read_again_with_its_stamps(tmp_path, embodiment):
    values, begin = a_table(), 1_764_440_000_123_456_789
    stamps = begin + embodiment.step * np.arange(6)
    write_actions(tmp_path / "a.csv", values, stamps, embodiment)
    assert np.abs(read_actions(tmp_path / "a.csv", embodiment) - values).max() < 1e-5
    first = (tmp_path / "a.csv").read_text().splitlines()[1].split(",")
    assert first[0] == "1764440000.123456789"
    factor = 1.0 if embodiment is ARM else 180 / np.pi
    assert float(first[1]) == pytest.approx(values[0, 0] * factor, rel=1e-5)
    assert float(first[8]) == (0.0 if embodiment is ARM else 80.0)  # open


def test_parquet_columns_in_any_order(tmp_path):
    values = a_table()
    columns = {name: values[:, number] for number, name in enumerate(NAMES)}
    pq.write_table(pa.table(dict(reversed(columns.items()))), tmp_path / "a.parquet")
    assert (read_actions(tmp_path / "a.parquet", ARM) == values).all()
    (tmp_path / "b.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"b\.parquet: not readable as parquet"):
        read_actions(tmp_path / "b.parquet", ARM)


def lines(names=("time", *NAMES), rows=4, step=1 / 15):
    table = [",".join(names)]
    for row in range(rows):
        cells = {"time": f"{row * step:.6f}", "gripper": "0"}
        table.append(",".join(cells.get(name, "0.1") for name in names))
    return table


def changed(row, column, cell):
    table = lines()
    cells = table[row].split(",")
    cells[column] = cell
    table[row] = ",".join(cells)
    return table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([], "expected a line with the columns' names, got an empty file"),
        (lines(rows=0), "expected rows of actions, got none"),
        (lines((*NAMES, "elbow")), r"unknown column\(s\) \['elbow'\]; expected \['time', 'panda_"),
        (lines(NAMES[1:]), r"lacks the column\(s\) \['panda_joint1'\]; it has \['panda_joint2'"),
        (lines((*NAMES, "gripper")), r"has the column\(s\) \['gripper'\] more than once"),
        (changed(2, 3, "nan"), "row 2: panda_joint3: expected a finite number, got 'nan'"),
        (changed(2, 3, "inf"), "row 2: panda_joint3: expected a finite number, got 'inf'"),
        (changed(1, 3, "left"), "row 1: panda_joint3: expected a finite number, got 'left'"),
        (changed(3, 1, ""), "row 3: panda_joint1: expected a finite number, got ''"),
        (changed(3, 1, "120"), r"panda_joint1 is at 120\.0 rad, expected at most 12\.6"),
        (changed(3, 1, "0.1,0.2"), "row 3 has 10 cells for 9 columns"),
        (lines(step=1 / 30), "rows at 30 Hz, droid_sim needs 15 Hz"),
        (lines(step=-1 / 15), "row 2: time: expected times that rise"),
        (changed(2, 0, "0.11"), r"row 2 is 0\.110 s after the row before, expected 0\.067 s"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_one_line(tmp_path, table, words):
    file = tmp_path / "a.csv"
    file.write_text("\n".join(table))
    with pytest.raises(ValueError, match=words) as error:
        read_actions(file, ARM)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=r"a\.csv: not readable as CSV"):
        read_actions(tmp_path / "a.csv", ARM)
