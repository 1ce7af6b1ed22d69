# SPDX-License-Identifier: Apache-2.0
"""The script that times docs/start.md: what it runs, and that the page says what it measured."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def first_steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return __import__("first_steps")


def test_what_was_measured_is_what_the_page_says(first_steps: Any) -> None:
    measured = json.loads(first_steps.RESULT.read_text())
    parts = dict(first_steps.sections(first_steps.PAGE.read_text()))
    assert measured["parts"]
    for part in measured["parts"]:
        run = [step["command"] for step in part["steps"]]
        assert run == [line for line in parts[part["title"]] if not line.startswith("sudo ")]
        assert part["seconds"] == pytest.approx(sum(step["seconds"] for step in part["steps"]))


def test_the_table_of_the_page_is_that_of_the_result(first_steps: Any) -> None:
    page = first_steps.PAGE.read_text()
    measured = json.loads(first_steps.RESULT.read_text())
    assert first_steps.table(measured, page) in page
    measured["parts"] = []
    assert first_steps.table(measured, page).count("not measured yet") == 4


def test_what_runs_until_ctrl_c_is_ended_by_the_next_command(
    first_steps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_steps, "SETTLE", 0.0)
    # where tests run in a shell's background it would be ignored, also by what they start
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    waiting: list[subprocess.Popen] = []
    wait = f"{sys.executable} -S -c 'import time; time.sleep(60)' record it"
    first_steps.run(wait, tmp_path, waiting)
    (recorder,) = waiting
    first_steps.run("true", tmp_path, waiting)
    signal.signal(signal.SIGINT, before)
    assert recorder.poll() is not None
    with pytest.raises(ChildProcessError, match="false: exit code 1"):
        first_steps.run("false", tmp_path, waiting)
