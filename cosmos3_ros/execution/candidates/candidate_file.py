# SPDX-License-Identifier: Apache-2.0
"""Candidates as files: CSV, Parquet and JSON. What is wrong with one is said with its name.

A table (CSV, Parquet) has a column `time` [s after the observation] and one per joint, a row per
point. JSON has `names`, `positions` (a list for each point) and `times`, or `step` in place of it:
the points are then due at step, 2 step, ..., as the rows of an action chunk.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...model.media.lfs_pointer import check_pointer
from .candidate import Candidate

KEYS = {"names", "positions", "times", "step"}


def read_candidate(path: Path) -> Candidate:
    """The candidate in a file, by its ending; ValueError names the file and what is wrong."""
    if path.suffix not in _READERS:
        raise ValueError(f"{path}: expected a file that ends in {' or '.join(_READERS)}")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    check_pointer(path)
    try:
        return _READERS[path.suffix](path)
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None


def _csv(path: Path) -> Candidate:
    with path.open(newline="") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        rows = [row for row in reader if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise ValueError(f"row {number} has {len(row)} numbers for {len(names)} columns")
    return _table(names, rows)


def _parquet(path: Path) -> Candidate:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(f"not readable as Parquet ({error})") from None
    columns = [table.column(name).to_pylist() for name in table.column_names]
    return _table(table.column_names, [*zip(*columns, strict=True)])


def _json(path: Path) -> Candidate:
    found = json.loads(path.read_text())
    if not isinstance(found, Mapping) or not {"names", "positions"} <= set(found):
        raise ValueError("expected an object with names, positions and times or step")
    if unknown := sorted(set(found) - KEYS):
        raise ValueError(f"unknown key {unknown[0]!r}; expected {', '.join(sorted(KEYS))}")
    if ("times" in found) == ("step" in found):
        raise ValueError("expected either times or step")
    names, positions = found["names"], _numbers("positions", found["positions"])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("names: expected a list of joint names")
    if "step" in found:
        step = _numbers("step", found["step"])
        if step.ndim or not step > 0:
            raise ValueError(f"step: expected a positive number of seconds, got {found['step']!r}")
        times = step * np.arange(1, len(np.atleast_1d(positions)) + 1)
    else:
        times = _numbers("times", found["times"])
    if times.ndim != 1 or positions.ndim != 2:
        raise ValueError(
            "expected a list of times and a list of positions for each, got "
            f"{[*times.shape]} and {[*positions.shape]}"
        )
    return Candidate(tuple(names), times, positions)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Candidate:
    if columns.count("time") != 1:
        raise ValueError(f"expected a column 'time' and one per joint, got {[*columns]}")
    values = _numbers("rows", rows).reshape(len(rows), len(columns))
    time = columns.index("time")
    joints = [number for number in range(len(columns)) if number != time]
    names = tuple(columns[number] for number in joints)
    return Candidate(names, values[:, time], values[:, joints])


def _numbers(what: str, values: Any) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: expected numbers, as many in each ({error})") from None


_READERS: Mapping[str, Callable[[Path], Candidate]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
}
