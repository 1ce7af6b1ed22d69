# SPDX-License-Identifier: Apache-2.0
"""What `make build` costs from nothing: seconds, processor seconds and megabytes of each step.

    python bench/setup_cost.py FOLDER [--ros kilted] [--out bench/results/setup_cost.json] [--page]

FOLDER is made, and may be removed afterwards. Packages are downloaded anew, whatever pip has kept.
`--page` writes the table into docs/installation.md, without FOLDER from the result that is there.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from result_file import put_table, report

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "installation.md"
RESULT = ROOT / "bench" / "results" / "setup_cost.json"
_spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools" / "setup_env.py")
assert _spec
assert _spec.loader
sys.path.append(str(ROOT / "tools"))  # for what it imports
setup_env = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(setup_env)


def megabytes(folder: Path) -> float:
    """What the files of a folder take on the disk."""
    files = (path for path in folder.rglob("*") if not path.is_symlink())
    return sum(path.stat().st_blocks for path in files) * 512 / 1e6


def processor_seconds() -> float:
    """Of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class MeasuredEnvironment(setup_env.Environment):
    """An environment that notes what each step takes."""

    steps: dict[str, dict[str, float]] = {}  # noqa: RUF012  # there is one

    def step(self, name: str, key: str, action: Callable[[], None]) -> None:
        """Do the step, and note it."""
        start, used, size = time.monotonic(), processor_seconds(), megabytes(self.folder)
        load = os.getloadavg()[0]
        super().step(name, key, action)
        self.steps[name] = {
            "s": round(time.monotonic() - start, 1),
            "processor_s": round(processor_seconds() - used, 1),
            "MB": round(megabytes(self.folder) - size),
            "load_before": round(load, 1),
        }


def table(measured: dict) -> str:
    """The page's table of a result; without steps it is not measured yet."""
    steps = measured.get("steps")
    if not steps:
        return "Not measured yet.\n"
    rows = [
        f"| {name} | {step['s']:.0f} | {step['processor_s']:.0f} | {step['MB']:.0f} |"
        for name, step in steps.items()
    ]
    sums = (sum(step[key] for step in steps.values()) for key in ("s", "processor_s", "MB"))
    loads = [step["load_before"] for step in steps.values()]
    return "\n".join(
        [
            "| step | seconds | processor seconds | MB on the disk |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            "| **all** | " + " | ".join(f"**{total:.0f}**" for total in sums) + " |",
            "",
            f"`{measured['command']}`, {measured['date']}, {measured['cores']} cores at a load of "
            f"{min(loads):.0f} to {max(loads):.0f}, Python {measured['python']}; packages from a "
            f"disk beside it: a connection adds its download "
            f"([json](../bench/results/{RESULT.name})).\n",
        ]
    )


def main() -> int:
    """Set up, print what it took, write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="new; left out: only --page")
    parser.add_argument("--ros", choices=setup_env.DISTRIBUTIONS, default="jazzy")
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", action="store_true", help=f"write the table into {PAGE.name}")
    chosen = parser.parse_args()
    if chosen.folder:
        if chosen.folder.exists():
            parser.error(f"{chosen.folder} exists: expected a new folder")
        os.environ["PIP_NO_CACHE_DIR"] = "1"
        setup_env.Environment = MeasuredEnvironment
        setup_env.set_up(chosen.folder.absolute(), chosen.ros, chosen.torch_index)
        report(
            f"python bench/setup_cost.py FOLDER --ros {chosen.ros}",
            (),
            chosen.out,
            cores=os.cpu_count(),
            python=platform.python_version(),
            steps=MeasuredEnvironment.steps,
        )
    if chosen.page:
        put_table(PAGE, "setup", table(json.loads((chosen.out or RESULT).read_text())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
