# SPDX-License-Identifier: Apache-2.0
"""The log of a training: one JSON object per line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Log = Callable[[dict[str, Any]], None]
EVERY = 50  # steps between two lines


class JsonLog:
    """One JSON object per line with the seconds since the start; the same as text for `tell`.

    A last line that was cut short, when an earlier training was stopped, is removed.
    """

    def __init__(self, file: Path, tell: Callable[[str], None]):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            text = file.read_bytes()
            if (end := text.rfind(b"\n") + 1) < len(text):
                os.truncate(file, end)
        self._file, self._tell, self._began = file, tell, time.monotonic()

    def __call__(self, fields: dict[str, Any]) -> None:
        line = {"seconds": round(time.monotonic() - self._began, 1), **fields}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._tell(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in line.items()
            )
        )
