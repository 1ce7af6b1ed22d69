# SPDX-License-Identifier: Apache-2.0
"""What `make build` costs from nothing: seconds, processor seconds and megabytes of each step.

    python bench/setup_cost.py FOLDER [--ros kilted] [--out bench/results/setup_cost.json]

FOLDER is made, and may be removed afterwards. Packages are downloaded anew, whatever pip has kept.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("setup_env", ROOT / "tools" / "setup_env.py")
assert _spec
assert _spec.loader
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


def main() -> int:
    """Set up, print the table, write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ros", choices=setup_env.DISTRIBUTIONS, default="jazzy")
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.folder.exists():
        parser.error(f"{chosen.folder} exists: expected a new folder")
    os.environ["PIP_NO_CACHE_DIR"] = "1"
    setup_env.Environment = MeasuredEnvironment
    setup_env.set_up(chosen.folder.absolute(), chosen.ros, chosen.torch_index)
    about = {
        "date": datetime.date.today().isoformat(),
        "command": f"bench/setup_cost.py FOLDER --ros {chosen.ros}",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "steps": MeasuredEnvironment.steps,
    }
    text = json.dumps(about, indent=2)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
