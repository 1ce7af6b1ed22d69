# SPDX-License-Identifier: Apache-2.0
"""Damaged pictures, videos and checkpoints are read or refused in words, soon, in little memory."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("fuzz_readers")


@pytest.mark.parametrize(
    ("reader", "count"),
    [("pictures", 1000), ("tensors", 500), ("configs", 1000), ("videos", 1000), ("folders", 10)],
)
def test_damaged_inputs(bench, reader, count):
    found = bench.run(reader, count)
    assert found["read"] + found["refused"] == count
    assert found["refused"] > count // 10, "the damage shows"
    assert found["slowest"] < bench.SLOWEST
    assert found["grown"] < 400


def test_what_a_reader_raises_is_told_from_a_refusal(bench, monkeypatch):
    def fail(data):
        raise KeyError("a defect")

    monkeypatch.setitem(bench.READERS, "pictures", lambda: ([b"x"], fail))
    with pytest.raises(AssertionError, match="pictures: input 0 of seed 0"):
        bench.run("pictures", 1)


def test_the_same_seed_gives_the_same_damage(bench):
    data = bytes(range(256))
    first, second = (bench.harm(data, np.random.default_rng([0, 7])) for _ in range(2))
    assert first == second != data
