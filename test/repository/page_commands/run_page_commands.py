# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the pages, small: `make docs-commands`.

run_page_commands.py [PAGE ...] [--out FILE]

Each page has a folder of its own, with what its commands name: random checkpoint, dataset,
recording, clips, a robot file (page_workspace.py). They run in the order in which they stand.
FILE gets a line of JSON for each command of every page: its exit code and seconds, or why it was
not run. The exit code is 1 if one has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from page_fates import POLICY_UP, Run, command, how, why_not
from page_workspace import fill_page, make_template
from shell_lines import ROOT, Line, read_lines

LONGEST = 600  # s, of a command
DOMAIN = "101"  # of ROS, unless told: where no other graph on this computer is likely


class Started:
    """A command in a session of its own, and what it prints."""

    def __init__(self, text: str, folder: Path, log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                shlex.split(text),
                cwd=folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, pattern: str) -> bool:
        """Until it has printed this. False: it has ended, or takes longer than LONGEST."""
        end = time.monotonic() + LONGEST
        while not re.search(pattern, self.log.read_text(errors="replace")):
            if self.process.poll() is not None or time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()

    def wait(self) -> int:
        """Its exit code; it gets Ctrl-C when it takes longer than LONGEST."""
        try:
            return self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.end()
            return 124


class Page:
    """The folder of a page, and the graph that runs beside its commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._beside, self._graph = folder, "", None

    def run(self, line: Line, index: int) -> dict[str, Any]:
        """One command of it; the result."""
        rule, text = how(line), command(line)
        try:
            self.accompany(rule.beside)
        except ChildProcessError as error:
            return {"ran": text, "seconds": 0.0, "code": -1, "failed": [str(error)]}
        log = self.folder / f"command{index}.log"
        began = time.monotonic()
        started = Started(text, self.folder, log)
        code = self._watch(started, rule)
        result = {"ran": text, "seconds": round(time.monotonic() - began, 1), "code": code}
        printed = log.read_text(errors="replace").strip()
        if code not in rule.codes or not re.search(rule.says, printed):
            result["failed"] = printed.splitlines()[-3:]
        return result

    @staticmethod
    def _watch(started: Started, rule: Run) -> int:
        if not rule.until:
            return started.wait()
        if not started.wait_for(rule.until):
            return started.end() or 124
        time.sleep(rule.seconds)
        code = started.end()
        return 0 if code in (0, 130, -signal.SIGINT) else code  # as Ctrl-C ends programs

    def accompany(self, graph: str) -> None:
        """Let this graph run, and no other; "": none. ChildProcessError if it does not come up."""
        if graph == self._beside and (self._graph is None or self._graph.process.poll() is None):
            return
        if self._graph:
            self._graph.end()
        self._beside, self._graph = graph, None
        if graph:
            self._graph = Started(graph, self.folder, self.folder / "graph.log")
            if not self._graph.wait_for("episode 1:" if "--no-policy" in graph else POLICY_UP):
                raise ChildProcessError(f"{graph}: {self._graph.log.read_text()[-500:]}")


def pages() -> list[Path]:
    """README and those of docs/."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def run_page(page: Path, template: Path, folder: Path, done: dict[str, dict]) -> None:
    """Run what is on a page and not in `done`, which then has it."""
    lines = [line for line in read_lines(page) if line.text not in done]
    if not lines:
        return
    fill_page(template, folder, [command(line) for line in lines if not why_not(line)])
    place = Page(folder)
    try:
        for index, line in enumerate(lines):
            if line.text in done:
                continue
            why = why_not(line)
            found = {"page": line.page, "command": line.text}
            done[line.text] = found | ({"not_run": why} if why else place.run(line, index))
            if not why:
                print(json.dumps(done[line.text]), flush=True)
    finally:
        place.accompany("")


def main(arguments: list[str] | None = None, template: Path | None = None) -> int:
    """`template`: a folder that is there, in place of the one to be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", nargs="*", type=Path, help="default: all")
    parser.add_argument("--out", type=Path, help="file of JSON lines")
    chosen = parser.parse_args(arguments)
    done: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as name:
        template = template or make_template(Path(name) / "template")
        for page in [path.resolve() for path in chosen.page] or pages():
            try:
                run_page(page, template, Path(name) / page.stem, done)
            finally:  # also of a run that is ended
                if chosen.out:
                    lines = [json.dumps(result) + "\n" for result in done.values()]
                    chosen.out.write_text("".join(lines))
    ran = [result for result in done.values() if "ran" in result]
    failed = [result for result in ran if "failed" in result]
    seconds = sum(result["seconds"] for result in ran)
    print(
        f"{len(done)} commands: {len(ran)} run in {seconds / 60:.0f} min, {len(failed)} failed, "
        f"{len(done) - len(ran)} not run"
    )
    return int(bool(failed))


if __name__ == "__main__":
    # in the background of a shell it would be ignored, by what is started here, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("ROS_DOMAIN_ID", DOMAIN)
    sys.exit(main())
