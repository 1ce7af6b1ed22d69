# SPDX-License-Identifier: Apache-2.0
"""Files are damaged as their seed says, and right again after it."""

import importlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("fuzz_damage")


@pytest.fixture
def files():
    """A file of each kind."""
    fields = {"a": 1, "b": [1, {"c": "d"}], "e": None}
    table = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3], "b": [[1.0], [2.0], [3.0]]}), table)
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    return {
        "a.json": json.dumps(fields).encode(),
        "a.jsonl": b'{"a": 1}\n{"a": 2}\n',
        "b/a.yaml": b"a: 1\nb: [1, {c: d}]\n",
        "b/a.parquet": table.getvalue(),
        "a.safetensors": len(header).to_bytes(8, "little") + header + b"x",
        "a.txt": bytes(range(256)),
    }


def test_the_same_seed_gives_the_same_damage(bench, files):
    for name, data in files.items():
        change = bench.HARM.get(Path(name).suffix, bench.harm)
        results = [
            [change(data, np.random.default_rng([0, number])) for number in range(60)]
            for _ in range(2)
        ]
        assert results[0] == results[1]
        assert len({*results[0]}) > 5


def test_a_tree_is_damaged_and_right_again(bench, files, tmp_path):
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    tree, shapes = bench.Tree(tmp_path), set()
    for number in range(300):
        tree.damage(np.random.default_rng([0, number]))
        shapes.add(str(look(tmp_path)))
        tree.restore()
        assert look(tmp_path) == files
    assert len(shapes) > 100


def look(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes() if file.is_file() else None
        for file in folder.rglob("*.*")
    }
