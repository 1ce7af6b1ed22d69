# SPDX-License-Identifier: Apache-2.0
"""What disks, networks and people do to files: bytes, fields, rows and whole files, damaged.

Everything is drawn from a generator, so that its seed gives the same damage again.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Draw = np.random.Generator
Harm = Callable[[bytes, Draw], bytes]

# What a field may hold where something else was expected.
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    3,
    64,
    1000,
    2**20,
    2**31,
    -(2**63),
    10**30,
    0.5,
    -0.0,
    1e-300,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "auto",
    "../../x",
    "a\nb",
    "\x00",
    "x" * 99,
    "y" * 5000,
    [],
    [1, "a"],
    [[1], [2, 3]],
    {},
    {"a": 1},
)
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11422654\n"


def new_folder() -> Path:
    """An empty folder that is removed when the program ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def pick(rng: Draw, entries: Any) -> Any:
    """One of some entries."""
    return entries[int(rng.integers(len(entries)))]


def harm(data: bytes, rng: Draw) -> bytes:
    """Some bytes, damaged as disks, networks and people do."""
    held = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not held:
            break
        place, kind = int(rng.integers(len(held))), rng.integers(5)
        if kind == 0:
            del held[place:]
        elif kind == 1:
            held[place] = int(rng.integers(256))
        elif kind == 2:
            held[place] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            held[place : place + 64] = bytes(min(64, len(held) - place))
        else:
            other = int(rng.integers(len(held)))
            held[place : place + 16] = held[other : other + 16]
    return bytes(held)


def harm_json(data: bytes, rng: Draw) -> bytes:
    """JSON of which a field is gone, new or something else; one in four is damaged as bytes are."""
    if rng.integers(4) == 0:
        return harm(data, rng)
    fields = json.loads(data)
    return json.dumps(fields).encode() if change(fields, rng) else harm(data, rng)


def harm_yaml(data: bytes, rng: Draw) -> bytes:
    """The same for YAML."""
    if rng.integers(4) == 0:
        return harm(data, rng)
    fields = yaml.load(data, yaml.CSafeLoader)
    return _yaml(fields) if change(fields, rng) else harm(data, rng)


def _yaml(fields: Any) -> bytes:
    return yaml.dump(fields, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


def change(fields: Any, rng: Draw) -> bool:
    """Change one field of tables in tables, in place; False if there was none."""
    place = fields
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return False
        key = pick(rng, keys)
        if not isinstance(place[key], dict | list) or rng.integers(2):
            break
        place = place[key]
    kind = rng.integers(6)
    if kind < 2:
        del place[key]
    elif kind == 2 and isinstance(place, dict):
        place[f"{key}s"] = place.pop(key)
    else:
        place[key] = pick(rng, VALUES)
    return True


def harm_lines(data: bytes, rng: Draw) -> bytes:
    """Lines of JSON: one is changed, gone, twice or no line of its own."""
    lines = data.split(b"\n")
    place = int(rng.integers(len(lines)))
    kind = rng.integers(6)
    if kind == 0:
        return harm(data, rng)
    if kind == 1:
        del lines[place]
    elif kind == 2:
        lines.insert(place, lines[place])
    elif kind == 3:
        lines[place : place + 2] = [b"".join(lines[place : place + 2])]
    else:
        lines[place] = harm_json(lines[place] or b"{}", rng)
    return b"\n".join(lines)


def harm_header(data: bytes, rng: Draw) -> bytes:
    """A safetensors file with another header, or with damaged bytes."""
    if rng.integers(2):
        return harm(data, rng)
    end = 8 + int.from_bytes(data[:8], "little")
    header = harm_json(data[8:end], rng)
    return len(header).to_bytes(8, "little") + header + data[end:]


def harm_table(data: bytes, rng: Draw) -> bytes:
    """A parquet table that lost a column, rows or values, or has others; or damaged bytes."""
    if rng.integers(3) == 0:
        return harm(data, rng)
    table = pq.read_table(pa.BufferReader(data))
    name, kind = pick(rng, table.column_names), rng.integers(7)
    place, old = table.column_names.index(name), table[name]
    if kind == 0:
        table = table.drop([name])
    elif kind == 1:
        table = table.rename_columns([n + "s" if n == name else n for n in table.column_names])
    elif kind == 2:
        table = table.slice(int(rng.integers(3)), int(rng.integers(table.num_rows + 1)))
    elif kind == 3:
        table = table.set_column(place, name, pa.nulls(table.num_rows))
    elif kind == 4:
        table = table.take(rng.permutation(table.num_rows))
    elif kind == 5:
        table = pa.concat_tables([table, table.slice(0, int(rng.integers(1, 3)))])
    else:
        values = old.to_pylist()
        value, every = pick(rng, VALUES), rng.integers(2)
        for row in range(len(values)) if every else [int(rng.integers(len(values)))]:
            values[row] = value
        table = table.set_column(place, name, _column(values, old.type))
    file = pa.BufferOutputStream()
    try:
        pq.write_table(table, file)
    except pa.ArrowException:  # what no parquet file can hold
        return harm(data, rng)
    return bytes(file.getvalue())


def _column(values: list[Any], kind: Any) -> Any:
    """These values as they are, or else as the column had them, or else nothing."""
    for wanted in (None, kind):
        try:
            return pa.array(values, wanted)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            continue
    return pa.nulls(len(values))


HARM: Mapping[str, Harm] = {
    ".json": harm_json,
    ".jsonl": harm_lines,
    ".yaml": harm_yaml,
    ".parquet": harm_table,
    ".safetensors": harm_header,
}


class Tree:
    """A folder of files, one of which is damaged, gone or another one, and then right again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held = {
            file.relative_to(folder): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        self._names = [*self._held]
        self._bent: list[Path] = []

    def damage(self, rng: Draw) -> None:
        """Change a file, or now and then two."""
        names = [pick(rng, self._names) for _ in range(2 if rng.integers(5) == 0 else 1)]
        for name in dict.fromkeys(names):
            self._damage(name, rng)

    def _damage(self, name: Path, rng: Draw) -> None:
        file, kind = self.folder / name, rng.integers(12)
        self._bent.append(file)
        if kind >= 6:
            file.write_bytes(HARM.get(name.suffix, harm)(self._held[name], rng))
        elif kind == 5:
            file.write_bytes(self._held[pick(rng, self._names)])
        elif kind == 4:
            file.write_text(POINTER)
        elif kind == 3:
            file.write_bytes(b"")
        else:
            file.unlink()
            if kind == 2:
                file.mkdir()
            elif kind == 1:
                other = file.with_name(f"other-{name.name}")
                other.write_bytes(self._held[name])
                self._bent.append(other)

    def restore(self) -> None:
        """Put back what `damage` changed."""
        for file in self._bent:
            shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
            if (name := file.relative_to(self.folder)) in self._held:
                file.write_bytes(self._held[name])
        self._bent = []
