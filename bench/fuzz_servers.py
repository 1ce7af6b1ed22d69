# SPDX-License-Identifier: Apache-2.0
"""Random requests and frames at the servers, many more than the tests send.

The tests of test/serve/test_serve.py with other numbers: none may end in a traceback, a status of
500, a hang of 20 s or 256 MiB more memory. In parts with seeds of their own, see fuzz_parts.py.

python bench/fuzz_servers.py --inputs 100000 --out bench/results/fuzz_servers.json
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fuzz_parts import add_options, in_parts
from result_file import report

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "reasoner, HTTP": "test_http[openai]",
    "LIBERO, HTTP": "test_http[libero]",
    "generator, HTTP": "test_generator",
    "openpi, websocket": "test_websocket",
}


def run(test: str, first: int, count: int) -> dict[str, Any]:
    """One test with so many examples; AssertionError with its last words if it fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"test/serve/test_serve.py::{test}"],
        cwd=ROOT,
        env=os.environ | {"COSMOS3_FUZZ": str(count), "COSMOS3_FUZZ_SEED": str(first)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout[-4000:]
    return {"answered": count}


def main() -> None:
    """Fuzz all servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, 100_000, 5000)
    parser.add_argument("--kind", choices=[*KINDS], action="append")
    parser.add_argument("--out", type=Path, help="file for the result")
    chosen = parser.parse_args()
    found = {}
    for kind in chosen.kind or KINDS:
        test = KINDS[kind]
        found[kind] = in_parts(kind, lambda first, count, t=test: run(t, first, count), chosen)
    command = " ".join(["python bench/fuzz_servers.py", *sys.argv[1:]])
    report(command, ("hypothesis", "aiohttp", "websockets"), chosen.out, servers=found)


if __name__ == "__main__":
    main()
