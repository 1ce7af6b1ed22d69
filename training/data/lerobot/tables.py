# SPDX-License-Identifier: Apache-2.0
"""Parquet tables of anybody as arrays; one line says what is missing or has another type or width.

pyarrow is imported where a file is read: trainings on the simulation need none of it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from ....model.media.lfs_pointer import check_pointer
from ....model.media.one_line import one_line


def column_names(file: Path) -> list[str]:
    """The columns of a file."""
    import pyarrow.parquet as pq

    with _readable(file):
        return list(pq.read_schema(file).names)


def row_count(file: Path) -> int:
    """How many rows a file has."""
    import pyarrow.parquet as pq

    with _readable(file):
        return int(pq.read_metadata(file).num_rows)


def parquet_rows(file: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a file, a few at a time in memory."""
    import pyarrow.parquet as pq

    with _readable(file), pq.ParquetFile(file, page_checksum_verification=True) as content:
        for batch in content.iter_batches(1024, columns=[*names]):
            yield from batch.to_pylist()


def read_table(
    file: Path, names: Sequence[str], optional: Sequence[str] = (), episode: int | None = None
) -> Any:
    """A pyarrow.Table of these columns, of one episode; without the optional ones that it lacks."""
    import pyarrow.parquet as pq

    known, number = column_names(file), () if episode is None else ("episode_index",)
    if missing := [name for name in (*number, *names) if name not in known]:
        raise ValueError(f"{file}: lacks the column(s) {missing}, it has {sorted(known)}")
    wanted = [*dict.fromkeys((*names, *(name for name in optional if name in known)))]
    if twice := [name for name in wanted if known.count(name) > 1]:
        raise ValueError(f"{file}: has the column {twice[0]!r} twice")
    chosen = None if episode is None else [("episode_index", "=", episode)]
    with _readable(file):
        return pq.read_table(file, columns=wanted, filters=chosen, page_checksum_verification=True)


def feature_numbers(
    table: Any,
    features: Mapping[str, Any],
    names: Sequence[str],
    where: str,
    kind: type[np.floating] = np.float32,
) -> np.ndarray:
    """The features side by side, `kind` [rows, width], each as wide as its `shape` says."""
    if not names:
        return np.zeros((table.num_rows, 0), kind)
    if not table.num_rows:
        return np.zeros((0, sum(_width(features[name]) for name in names)), kind)
    return np.concatenate([_column(table, features, name, where, kind) for name in names], axis=1)


def indices(table: Any, name: str, where: str) -> np.ndarray:
    """A column of whole numbers, int64 [rows]."""
    import pyarrow as pa

    column = table[name]
    if not pa.types.is_integer(column.type) or column.null_count:
        raise ValueError(
            f"{where}: {name}: expected whole numbers, got {column.type} with "
            f"{column.null_count} missing"
        )
    return np.asarray(column.to_numpy()).astype(np.int64)


def pictures(table: Any, name: str, where: str) -> list[bytes]:
    """A column of encoded pictures, as LeRobot keeps them in the table: a struct with `bytes`."""
    cells = table[name].to_pylist()
    for row, cell in enumerate(cells):
        data = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(data, bytes):
            raise ValueError(
                f"{where}: {name}: expected an encoded picture in row {row}, got {short(cell)}"
            )
    return [cell["bytes"] for cell in cells]


def _column(
    table: Any, features: Mapping[str, Any], name: str, where: str, kind: type[np.floating]
) -> np.ndarray:
    import pyarrow as pa

    column = table[name]
    stored = column.type
    while pa.types.is_nested(stored) and hasattr(stored, "value_type"):
        stored = stored.value_type
    plain = (
        pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_boolean(stored)
    )
    if not plain:
        raise ValueError(f"{where}: {name}: expected numbers, got {column.type}")
    width = _width(features[name])
    try:
        with np.errstate(over="ignore"):  # what is too large is not finite, and refused as such
            values = np.array(column.to_pylist(), kind).reshape(table.num_rows, -1)
    except (ValueError, TypeError):
        raise ValueError(f"{where}: {name}: expected {width} numbers in each row") from None
    if values.shape[1] != width:
        raise ValueError(
            f"{where}: {name}: expected {width} numbers in each row as info.json says, got "
            f"{values.shape[1]}"
        )
    return values


def _width(feature: Mapping[str, Any]) -> int:
    return math.prod(feature["shape"])


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    import pyarrow as pa

    if not file.is_file():
        raise ValueError(f"dataset: missing file {file}")
    check_pointer(file)
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not readable as parquet ({one_line(error)})") from None
