# SPDX-License-Identifier: Apache-2.0
"""What a bench measured: printed, and written with its date, machine, command and versions."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


def report(command: str, packages: Sequence[str], out: Path | None, **measured: Any) -> None:
    """Print as JSON, and write to `out` if it is given; packages: whose versions matter."""
    about = {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "machine": platform.platform(),
        "versions": {name: version(name) for name in packages},
    }
    text = json.dumps(about | measured, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")
