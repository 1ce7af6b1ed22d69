# SPDX-License-Identifier: Apache-2.0
"""A long fuzz in parts: each is written down when it is done, and the same command does the others.

A part begins at a number of its own, which is its seed: it can be run again alone.
"""

from __future__ import annotations

import argparse
import collections
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MOST = ("slowest", "grown")  # numbers of a part of which the largest counts; others are added


def add_options(parser: argparse.ArgumentParser, total: int, part: int) -> None:
    """--inputs, --part and --journal, as `in_parts` takes them."""
    parser.add_argument("--inputs", type=int, default=total, help="of each kind")
    parser.add_argument("--part", type=int, default=part, help="inputs between two notes")
    parser.add_argument("--journal", type=Path, help="file of what is done; the rest is added")


def in_parts(
    kind: str, run: Callable[[int, int], dict[str, Any]], chosen: argparse.Namespace
) -> dict[str, Any]:
    """What `run(first, count)` found in all parts of `chosen.inputs` inputs of a kind.

    Numbers are added, of `MOST` the largest is taken; what `run` raises becomes a finding, with the
    numbers of its inputs. Parts in the journal are not run again.
    """
    done = _read(chosen.journal, kind)
    for first in range(0, chosen.inputs, chosen.part):
        count = min(chosen.part, chosen.inputs - first)
        if (first, count) in done:
            continue
        begun = time.monotonic()
        try:
            found = run(first, count)
        except Exception as error:
            found = {"findings": [f"{first} to {first + count - 1}: {_words(error)}"]}
        found["seconds"] = round(time.monotonic() - begun, 1)
        done[first, count] = found
        print(kind, first, found, flush=True)
        if chosen.journal:
            with chosen.journal.open("a") as file:
                file.write(json.dumps([kind, first, count, found]) + "\n")
    return _sum(done.values())


def _read(journal: Path | None, kind: str) -> dict[tuple[int, int], dict[str, Any]]:
    if journal is None or not journal.exists():
        return {}
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return {(first, count): found for of, first, count, found in lines if of == kind}


def _sum(parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"findings": []}
    numbers: collections.Counter[str] = collections.Counter()
    for part in parts:
        for name, value in part.items():
            if isinstance(value, list):
                found[name] = [*found.get(name, []), *value]
            elif name in MOST:
                found[name] = max(found.get(name, 0), value)
            else:
                numbers[name] += value
    return {**numbers, **found, "seconds": round(numbers["seconds"])}


def _words(error: Exception) -> str:
    """An error and what it came from, in one line."""
    said = f"{error} {error.__cause__!r}" if error.__cause__ else f"{type(error).__name__}: {error}"
    return " ".join(said.split())[:600]
