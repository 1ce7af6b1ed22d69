# SPDX-License-Identifier: Apache-2.0
"""The hooks of a commit check the same as `make lint`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_the_hooks_run_the_ruff_that_the_tests_run() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (hook,) = (repo["rev"] for repo in repos if repo["repo"].endswith("/ruff-pre-commit"))
    pinned = (ROOT / "tools" / "requirements-test.txt").read_text()
    assert re.findall(r"^ruff==([\d.]+)", pinned, re.MULTILINE) == [hook.removeprefix("v")]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Add a camera\n", ""),
        ("Add a camera\n\nThe wrist sees too little.\n# comment of git\n", ""),
        ("x" * 72, ""),
        ("x" * 73, "subject: expected 1 to 72 characters, got 73"),
        ("", "subject: expected 1 to 72 characters, got 0"),
        ("Add a camera\nThe wrist", "expected an empty line after the subject"),
    ],
)
def test_the_message_of_a_commit_is_checked(tmp_path: Path, message: str, words: str) -> None:
    file = tmp_path / "message"
    file.write_text(message)
    check = [sys.executable, str(ROOT / "tools" / "check_commit_message.py"), str(file)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (bool(words), True)
