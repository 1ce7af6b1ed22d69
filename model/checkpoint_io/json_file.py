# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the json files of a checkpoint. No torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..media.lfs_pointer import check_pointer
from .atomic_files import write_text


def read_json(file: Path, optional: bool = False) -> dict[str, Any]:
    """A json object; ValueError names a missing or broken file, and a number that is not finite."""
    if optional and not file.exists():
        return {}
    try:
        check_pointer(file)
        data = file.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"checkpoint: missing file {file}") from None
    except OSError as error:
        raise ValueError(f"{file}: not readable ({error.strerror})") from None
    try:
        fields = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError(f"{file}: not readable as json (nested too deeply)") from None
    except ValueError as error:
        raise ValueError(f"{file}: not readable as json ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{file}: expected a json object, got {type(fields).__name__}")
    if name := _not_finite(fields):
        raise ValueError(f"{file}: {name}: expected a finite number, got NaN or an infinite one")
    return fields


def _not_finite(value: Any, name: str = "") -> str:
    """The name of the first number that is not finite; "" if all are. Python reads NaN as json."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else name
    if isinstance(value, dict):
        held = ((f"{name}.{key}" if name else str(key), each) for key, each in value.items())
    elif isinstance(value, list):
        held = ((f"{name}[{place}]", each) for place, each in enumerate(value))
    else:
        return ""
    return next(filter(None, (_not_finite(each, key) for key, each in held)), "")


def read_block(file: Path, name: str) -> dict[str, Any]:
    """The object under a name of a json file that may be absent; {} where it has none."""
    block = read_json(file, optional=True).get(name)
    if block is None:
        return {}
    if not isinstance(block, dict):
        raise ValueError(f"{file}: {name}: expected an object, got {block!r:.60}")
    return block


def write_json(file: Path, fields: dict[str, Any]) -> None:
    """Put a json object in the place of what is there, and make its folder if there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(fields, indent=2) + "\n")
