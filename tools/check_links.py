# SPDX-License-Identifier: Apache-2.0
"""Links of the pages to other servers: which lead somewhere.

python tools/check_links.py [PAGE ...]

Every address in README, CONTRIBUTING, CHANGELOG, docs/ and the model cards is asked for once. A
server that says 404 or 410 makes a broken link, and the exit code 1. What could not be asked (no
network, a refusal, too slow) is listed as untried. Links within the repository are checked by
`make docs`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((https?://[^)\s]+)\)|<(https?://[^>\s]+)>")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
AGENT = {"User-Agent": "Mozilla/5.0 (link check of cosmos3_ros)"}
GONE = (404, 410)


def pages() -> list[Path]:
    """What people read."""
    cards = ROOT.glob("model/checkpoints/*/README.md")
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted(cards)]


def links(files: Iterable[Path]) -> dict[str, list[str]]:
    """Address without its anchor -> the pages that have it; code blocks are left out."""
    found: dict[str, list[str]] = {}
    for file in files:
        for match in LINK.finditer(CODE.sub("", file.read_text(encoding="utf-8"))):
            address = (match[1] or match[2]).partition("#")[0]
            names = found.setdefault(address, [])
            if file.name not in names:
                names.append(file.name)
    return found


def ask(address: str, timeout: float = 20.0) -> tuple[str, str]:
    """("ok" | "broken" | "untried", why) of one address."""
    request = urllib.request.Request(address, headers=AGENT)
    try:
        with urllib.request.urlopen(request, timeout=timeout):
            return "ok", ""
    except urllib.error.HTTPError as refused:
        return ("broken" if refused.code in GONE else "untried"), f"HTTP {refused.code}"
    except (OSError, ValueError) as error:  # URLError, time-outs, resets, bad certificates
        return "untried", str(getattr(error, "reason", error))


def main(arguments: list[str] | None = None) -> int:
    """Print what does not lead somewhere, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="*", type=Path, help="default: all")
    chosen = parser.parse_args(arguments)
    found = links(chosen.page or pages())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = dict(zip(found, pool.map(ask, found), strict=True))
    for address, (state, why) in sorted(answers.items(), key=lambda item: item[1]):
        if state != "ok":
            print(f"{state}: {address} ({', '.join(found[address])}): {why}")
    states = [state for state, _ in answers.values()]
    print(", ".join(f"{states.count(kind)} {kind}" for kind in ("ok", "broken", "untried")))
    return int("broken" in states)


if __name__ == "__main__":
    sys.exit(main())
