# SPDX-License-Identifier: Apache-2.0
"""The bench of set-up: what it notes of a step."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup_cost(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return __import__("setup_cost")


def test_a_step_is_noted_with_its_processor_time_and_its_size(setup_cost, tmp_path):
    def action() -> None:
        program = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", program], check=True)
        (tmp_path / "file").write_bytes(b"1" * 3_000_000)
        (tmp_path / "link").symlink_to(tmp_path / "file")

    setup_cost.MeasuredEnvironment(tmp_path).step("step", "key", action)
    noted = setup_cost.MeasuredEnvironment.steps["step"]
    assert noted["s"] >= noted["processor_s"] - 0.1
    assert noted["processor_s"] >= 0.3
    assert noted["MB"] == 3


def test_it_sets_up_as_make_does(setup_cost, tmp_path, monkeypatch):
    setup_env = setup_cost.setup_env
    for name in ("set_up", "Environment"):  # the bench puts its own in the place of the second
        monkeypatch.setattr(setup_env, name, mock.create_autospec(getattr(setup_env, name)))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "")
    folder = tmp_path / "new"
    monkeypatch.setattr(sys, "argv", ["setup_cost.py", str(folder), "--ros", "kilted"])
    assert setup_cost.main() == 0
    setup_env.set_up.assert_called_once_with(folder, "kilted", "")
    assert setup_env.Environment is setup_cost.MeasuredEnvironment


def test_the_table_of_the_page_is_that_of_the_result(setup_cost):
    result = setup_cost.RESULT
    measured = json.loads(result.read_text()) if result.is_file() else {}
    assert f"-->\n{setup_cost.table(measured)}<!-- end of setup" in setup_cost.PAGE.read_text()
    about = {"command": "c", "date": "d", "cores": 2, "python": "3.11"}
    step = {"s": 60.4, "processor_s": 50.0, "MB": 700, "load_before": 3.0}
    text = setup_cost.table(about | {"steps": {"PyTorch": step, "messages": step}})
    assert "| PyTorch | 60 | 50 | 700 |" in text
    assert "| **all** | **121** | **100** | **1400** |" in text


def test_a_page_without_a_place_for_the_table_is_named(setup_cost, tmp_path):
    (tmp_path / "page.md").write_text("# Page\n")
    with pytest.raises(LookupError, match=r"page.md has no place for a table: expected <!-- setup"):
        setup_cost.put_table(tmp_path / "page.md", "setup", "| |\n")
