# SPDX-License-Identifier: Apache-2.0
"""What a bench measured: printed, and written with its date, machine, command and versions."""

from __future__ import annotations

import datetime
import json
import platform
import re
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


def put_table(page: Path, name: str, text: str) -> None:
    """Write what stands between `<!-- NAME: ... -->` and `<!-- end of NAME -->` on a page."""
    place = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not place.search(old):
        raise LookupError(f"{page} has no place for a table: expected <!-- {name}: ... -->")
    page.write_text(place.sub(lambda found: found[1] + text + found[2], old), encoding="utf-8")
