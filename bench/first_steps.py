# SPDX-License-Identifier: Apache-2.0
"""How long the commands of docs/start.md take, run as they stand, in a clone that has nothing yet.

python3 bench/first_steps.py FOLDER [--out bench/results/first_steps.json]

FOLDER is new; the repository is cloned into it. What the page runs until Ctrl-C is ended when the
command after it has ended, the console as soon as its page is served. Not run: `sudo`. Written
after every part; `--part TITLE` measures one again, in a FOLDER that is there. `--page` alone
writes the table into the page from a result. Python's standard library is enough.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from result_file import put_table, report

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "start.md"
RESULT = ROOT / "bench" / "results" / "first_steps.json"
SETTLE = 5.0  # s, until a recording has found its topics
PACKAGES = ("torch", "mujoco", "transformers", "rclpy")


def sections(page: str) -> Iterator[tuple[str, list[str]]]:
    """Headings of a page, and the commands of their blocks; headings without any are left out."""
    for part in page.split("\n## ")[1:]:
        blocks = re.findall(r"^```\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        if blocks:
            yield part.splitlines()[0], "".join(blocks).splitlines()


def table(measured: dict, page: str) -> str:
    """The page's table of a result; a part that it lacks is said to be missing."""
    found = {part["title"]: part for part in measured["parts"]}
    rows = []
    for title, _ in sections(page):
        link = f"[{title}](#{title.lower().replace(' ', '-')})"
        if title in found:
            part = found[title]
            low, high = part["load"]
            rows.append(f"| {link} | {part['seconds'] / 60:.1f} | {low:.0f} to {high:.0f} |")
        else:
            rows.append(f"| {link} | not measured yet | |")
    about = (
        f"`{measured['command']}`, {measured['date']}, {measured['cores']} cores, no GPU, torch "
        f"{measured['versions']['torch']}; packages from a disk beside it: a connection adds its "
        f"download ([json](../bench/results/{RESULT.name}))."
    )
    size = (
        f"The environment takes {measured['environment_gb']:.1f} GB, the clone "
        f"{measured['clone_mb']:.0f} MB."
    )
    return (
        "\n".join(["| part | minutes | load |", "| --- | ---: | ---: |", *rows, "", about, size])
        + "\n"
    )


def run_page(folder: Path, only: str = "") -> Iterator[dict]:
    """Run the commands of the page in order; what each part took. only: the one part to run."""
    for title, commands in sections(PAGE.read_text(encoding="utf-8")):
        if only not in ("", title):
            continue
        taken, load = [], [os.getloadavg()[0]]
        waiting: list[subprocess.Popen] = []
        for command in commands:
            if command.startswith("sudo "):
                continue
            seconds = run(command, folder, waiting)
            load.append(os.getloadavg()[0])
            taken.append({"command": command, "seconds": round(seconds, 1)})
            print(f"{seconds:8.1f} s  {command}", flush=True)
        seconds = round(sum(step["seconds"] for step in taken), 1)
        shown = [round(min(load), 1), round(max(load), 1)]
        yield {"title": title, "seconds": seconds, "load": shown, "steps": taken}


def run(command: str, folder: Path, waiting: list[subprocess.Popen]) -> float:
    """Seconds of one command; `waiting`: what runs until the next one has ended."""
    began = time.monotonic()
    if command.startswith("git clone "):
        check(subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=False), command)
        return time.monotonic() - began
    process = subprocess.Popen(shlex.split(command), cwd=folder, start_new_session=True)
    if " record " in command:
        waiting.append(process)
        time.sleep(SETTLE)
        return time.monotonic() - began
    if "--view" in command:
        wait_for_console(process)
        end(process)
        return time.monotonic() - began
    check(process, command)
    while waiting:
        end(waiting.pop())
    return time.monotonic() - began


def wait_for_console(process: subprocess.Popen) -> None:
    """Until something answers at the console's address: without its token, a refusal."""
    while process.poll() is None:
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            try:
                urllib.request.urlopen("http://127.0.0.1:8090/", timeout=5)
            except urllib.error.HTTPError as refused:
                if refused.code in (401, 403):
                    return
        time.sleep(0.5)
    raise ChildProcessError(f"the console ended with exit code {process.returncode}")


def check(process: subprocess.Popen | subprocess.CompletedProcess, command: str) -> None:
    """Raise unless it ends well."""
    if isinstance(process, subprocess.Popen):
        process.wait()
    if process.returncode:
        raise ChildProcessError(f"{command}: exit code {process.returncode}")


def end(process: subprocess.Popen) -> None:
    """Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)


def size(folder: Path) -> int:
    """Bytes of the files below a folder, each counted once."""
    files = (path.lstat() for path in folder.rglob("*") if not path.is_dir())
    return sum({(file.st_dev, file.st_ino): file.st_size for file in files}.values())


def versions(folder: Path) -> dict[str, str]:
    """Of the packages in the environment that the page has made."""
    code = "import json, sys; from importlib.metadata import version as v; "
    code += "print(json.dumps({name: v(name) for name in sys.argv[1:]}))"
    words = ["tools/run.sh", ".venv", "python", "-c", code, *PACKAGES]
    return json.loads(subprocess.check_output(words, cwd=folder, text=True))


def main() -> None:
    """Measure, write, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="new; left out: only --page")
    parser.add_argument("--part", default="", help="its title; the others of --out stay")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--page", action="store_true", help="write the table into docs/start.md")
    chosen = parser.parse_args()
    if chosen.folder:
        # in the background of a shell it would be ignored, by what is started here, too
        signal.signal(signal.SIGINT, signal.default_int_handler)
        folder = chosen.folder.resolve()
        known = json.loads(chosen.out.read_text())["parts"] if chosen.part else []
        parts = {part["title"]: part for part in known}
        for part in run_page(folder, chosen.part):
            parts[part["title"]] = part
            write(folder, list(parts.values()), chosen.out)
    if chosen.page:
        page = PAGE.read_text(encoding="utf-8")
        measured = json.loads(chosen.out.read_text(encoding="utf-8"))
        put_table(PAGE, "times", table(measured, page))


def write(folder: Path, parts: list[dict], out: Path) -> None:
    """What was measured so far."""
    report(
        f"python bench/first_steps.py {folder.name}",
        (),
        out,
        parts=parts,
        cores=os.cpu_count(),
        versions=versions(folder),
        environment_gb=round(size(folder / ".venv") / 1e9, 2),
        clone_mb=round(size(folder / ".git") / 1e6, 1),
    )


if __name__ == "__main__":
    sys.exit(main())
