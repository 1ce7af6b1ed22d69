# SPDX-License-Identifier: Apache-2.0
"""Damaged files, folders and recipes are read or refused in words, soon, in little memory."""

import importlib
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("fuzz_readers")


@pytest.mark.parametrize(
    ("reader", "count"),
    [
        *(("pictures", 1000), ("tensors", 500), ("configs", 1000), ("videos", 1000)),
        *(("folders", 200), ("datasets", 500), ("recipes", 1000)),
    ],
)
def test_damaged_inputs(bench, reader, count):
    found = bench.run(reader, count)
    assert found["read"] + found["refused"] == count
    assert found["refused"] > count // 10, "the damage shows"
    assert found["read"] > count // 50, "not all of it does"
    assert found["slowest"] < bench.SLOWEST
    assert found["grown"] < 400


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("a defect"), "KeyError"),
        (BaseException("a panic"), "BaseException"),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "a defect"), "UnicodeDecodeError"),
        (ValueError("two\nlines"), "9 characters in 2 lines"),
        (ValueError(""), "0 characters in 0 lines"),
        (ValueError("x" * 9999), "9999 characters in 1 lines"),
        (ValueError("\x1b[31m"), "not printable"),
    ],
)
def test_what_a_reader_raises_is_told_from_a_refusal(bench, monkeypatch, error, words):
    def fail(data):
        raise error

    monkeypatch.setitem(bench.READERS, "pictures", lambda: ([b"x"], fail))
    with pytest.raises(AssertionError, match=f"pictures: input 0 of seed 0: .*{words}"):
        bench.run("pictures", 1)


def test_what_takes_too_long_is_given_up(bench, monkeypatch):
    def wait(data):
        try:
            time.sleep(30)
        except Exception as error:  # as a reader that words whatever a library does
            raise ValueError("refused") from error

    monkeypatch.setattr(bench, "HANG", 1)
    monkeypatch.setitem(bench.READERS, "pictures", lambda: ([b"x"], wait))
    with pytest.raises(AssertionError, match="HangError: 'more than 1 s'"):
        bench.run("pictures", 1)
