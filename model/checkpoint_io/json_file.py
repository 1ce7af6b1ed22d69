# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the json files of a checkpoint. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(file: Path, optional: bool = False) -> dict[str, Any]:
    """A json object; ValueError names a missing or broken file."""
    if optional and not file.exists():
        return {}
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"checkpoint: missing file {file}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file}: not readable as json ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{file}: expected a json object, got {type(fields).__name__}")
    return fields


def write_json(file: Path, fields: dict[str, Any]) -> None:
    """Write a json object, and make its folder if there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
