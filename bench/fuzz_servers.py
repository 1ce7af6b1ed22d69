# SPDX-License-Identifier: Apache-2.0
"""Random requests and frames at the servers, many more than the tests send.

The tests of test/serve/test_serve.py with other numbers: none may end in a traceback, a status of
500, a hang of 20 s or 256 MiB more memory.

python bench/fuzz_servers.py --examples 100000 --out bench/results/fuzz_servers.json
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from result_file import report

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the tests; their exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100_000, help="of each test")
    parser.add_argument("--out", type=Path, help="file for the result")
    chosen = parser.parse_args()
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "test/serve/test_serve.py"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"COSMOS3_FUZZ": str(chosen.examples)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-4000:], file=sys.stderr)
    summary = re.findall(r"\d+ \w+(?=[, ])", done.stdout.strip().splitlines()[-1])
    report(
        " ".join(["python", *sys.argv]),
        ("hypothesis", "aiohttp", "websockets"),
        chosen.out,
        examples_of_each=chosen.examples,
        tests=summary,
        seconds=round(time.monotonic() - began),
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
