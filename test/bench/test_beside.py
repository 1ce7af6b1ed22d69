# SPDX-License-Identifier: Apache-2.0
"""The script beside.py, at a small size: reasoner and policy do not change each other's results."""

import sys
from pathlib import Path

import pytest

from cosmos3_ros.model.acceleration.options import RuntimeOptions

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def beside(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield __import__("beside")
    for name in ("beside", "full_size", "nano_equality"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:There are modules in AutoencoderKLWan")
def test_chunks_and_answers_are_the_same_beside_each_other(beside):
    bench = beside.Bench("tiny", "cpu", RuntimeOptions(), runs=3, tokens=8)
    bench.alone()
    bench.answers()
    found = bench.beside(1)
    assert found["chunks"] == found["reading, chunks"] + found["decoding, chunks"] == 3
    assert found["chunks that differ from alone"] == found["answers that differ from alone"] == 0
    assert found["tokens per second"] > 0


def test_tokens_are_counted_while_chunks_were_made(beside):
    Span, Said = beside.Span, beside.Said
    first = Said(Span(0.0, 1.0), {"prefill": 0.5}, [1, 2, 3], [1.0, 1.5, 2.0])
    second = Said(Span(2.0, 5.0), {"prefill": 1.5}, [1, 2], [5.0, 9.0])
    found = beside.told([first, second], Span(1.2, 5.2))
    assert found["tokens per second"] == pytest.approx(3 / 4)  # at 1.5, 2.0 and 5.0
    assert found["tokens per second, decoding"] == pytest.approx(3 / 5)  # steps of 0.5, 0.5 and 4 s
    assert found["prefill_ms"] == 1500.0  # of the one that was read then
    chunks = [Span(0.0, 0.1), Span(0.1, 0.4)]
    assert beside.table("chunk", chunks)["chunk max_ms"] == pytest.approx(300)
    assert beside.table("chunk", []) == {"chunks": 0}
