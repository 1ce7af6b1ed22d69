# SPDX-License-Identifier: Apache-2.0
"""Tables of actions, CSV or parquet: a column for each of the embodiment's, by name, in its units.

A column `time` [s] may stand beside them: when the robot is to be there.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.plausibility import check_states
from ...model.embodiment.units import from_si, to_si
from ...model.interface import NS
from ...model.media.lfs_pointer import check_pointer

TIME = "time"
_JITTER = 0.1  # share of a step by which the mean step may differ, and half of one for each


def read_actions(file: Path, embodiment: Embodiment) -> np.ndarray:
    """Commands float32 [N, D] in rad, m and 0 .. 1.

    ValueError of one line: columns that are unknown, missing or twice there, what is no finite
    number, numbers that no robot can have, a wrong rate.
    """
    check_pointer(file)
    names, rows = _read_parquet(file) if file.suffix == ".parquet" else _read_csv(file)
    ours = list(embodiment.action_names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{file}: has the column(s) {twice} more than once")
    if unknown := [name for name in names if name not in (*ours, TIME)]:
        raise ValueError(f"{file}: unknown column(s) {unknown}; expected {[TIME, *ours]}")
    if missing := [name for name in ours if name not in names]:
        raise ValueError(f"{file}: lacks the column(s) {missing}; it has {names}")
    if not rows:
        raise ValueError(f"{file}: expected rows of actions, got none")
    table = np.array(
        [
            [_number(file, count, name, cell) for name, cell in zip(names, row, strict=True)]
            for count, row in enumerate(rows, 1)
        ]
    )
    if TIME in names:
        _check_rate(file, table[:, names.index(TIME)], embodiment)
    values = to_si(table[:, [names.index(name) for name in ours]], embodiment.action)
    try:
        check_states(values, embodiment.action)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return values.astype(np.float32)


def write_actions(
    file: Path, values: np.ndarray, stamps: Sequence[int], embodiment: Embodiment
) -> None:
    """Write commands [N, D] and when the robot is to be there (ns [N]) as CSV, to the ns."""
    said = from_si(values.astype(np.float64), embodiment.action)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow([TIME, *embodiment.action_names])
        for stamp, row in zip(stamps, said, strict=True):
            seconds, rest = divmod(int(stamp), NS)
            writer.writerow([f"{seconds}.{rest:09d}", *(f"{value:.7g}" for value in row)])


def _read_csv(file: Path) -> tuple[list[str], list[list[object]]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            lines = [line for line in csv.reader(text) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: not readable as CSV ({error})") from None
    if not lines:
        raise ValueError(f"{file}: expected a line with the columns' names, got an empty file")
    names = [name.strip() for name in lines[0]]
    for count, line in enumerate(lines[1:], 1):
        if len(line) != len(names):
            raise ValueError(f"{file}: row {count} has {len(line)} cells for {len(names)} columns")
    return names, [list(line) for line in lines[1:]]


def _read_parquet(file: Path) -> tuple[list[str], list[list[object]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file).read()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file}: not readable as parquet ({error})") from None
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, [list(row) for row in zip(*columns, strict=True)]


def _number(file: Path, row: int, name: str, cell: object) -> float:
    try:
        value = float(cell)  # type: ignore[arg-type]  # whatever stands there
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{file}: row {row}: {name}: expected a finite number, got {cell!r}")
    return value


def _check_rate(file: Path, times: np.ndarray, embodiment: Embodiment) -> None:
    """ValueError unless rows are a step of the embodiment apart."""
    steps, wanted = np.diff(times), 1 / embodiment.fps
    if not len(steps):
        return
    if (steps <= 0).any():
        row = int((steps <= 0).argmax()) + 2
        raise ValueError(f"{file}: row {row}: {TIME}: expected times that rise")
    if abs(steps.mean() - wanted) > _JITTER * wanted:
        raise ValueError(
            f"{file}: rows at {1 / steps.mean():.4g} Hz, {embodiment.name} needs "
            f"{embodiment.fps:g} Hz"
        )
    if (uneven := np.abs(steps - wanted) > 0.5 * wanted).any():
        row = int(uneven.argmax()) + 2
        raise ValueError(
            f"{file}: row {row} is {steps[row - 2]:.3f} s after the row before, expected "
            f"{wanted:.3f} s"
        )
