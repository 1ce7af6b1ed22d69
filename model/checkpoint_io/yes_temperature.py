# SPDX-License-Identifier: Apache-2.0
"""The temperature of a checkpoint's probabilities of yes, in its checkpoint.json. No torch.

`"reasoner": {"yes_temperature": 2.15}`: the log odds of yes against no are divided by it. It is
fitted to answers whose truth is known (`cosmos3 judge --calibrate`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .json_file import read_json, write_json

_FILE, _BLOCK, _ENTRY = "checkpoint.json", "reasoner", "yes_temperature"


def yes_temperature(folder: Path) -> float:
    """1 if the folder names none; ValueError if it is no positive number."""
    value = _block(read_json(folder / _FILE, optional=True)).get(_ENTRY, 1.0)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not 0 < value < math.inf:
        raise ValueError(
            f"{folder / _FILE}: {_BLOCK}.{_ENTRY}: expected a positive number, got {value!r:.60}"
        )
    return float(value)


def write_yes_temperature(folder: Path, value: float | None) -> None:
    """Keep it in the folder's checkpoint.json, beside what else that says; None: forget it."""
    about = read_json(folder / _FILE, optional=True)
    block = {name: kept for name, kept in _block(about).items() if name != _ENTRY}
    if value is not None:
        block[_ENTRY] = value
    fields = {name: kept for name, kept in about.items() if name != _BLOCK}
    if block:
        fields[_BLOCK] = block
    if fields != about:
        write_json(folder / _FILE, fields)


def _block(about: dict[str, Any]) -> dict[str, Any]:
    block = about.get(_BLOCK)
    return block if isinstance(block, dict) else {}
