# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation is written anew, but for what somebody has added to it."""

import json
from pathlib import Path

from cosmos3_ros.training.evaluation.report_page import KEPT, write_page

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "results.json"


def test_what_was_added_behind_the_mark_stays(tmp_path):
    page = tmp_path / "docs" / "results.md"
    content = json.loads(RESULTS.read_text())
    write_page(page, content, tmp_path)
    fresh = page.read_text()
    assert fresh.startswith("# Results")
    assert KEPT not in fresh
    added = f"\n{KEPT}\n\n## Elsewhere\n\nMore.\n"
    page.write_text(f"# Old\n\ngone\n{added}", encoding="utf-8")
    write_page(page, content, tmp_path)
    assert page.read_text() == fresh + added
    write_page(page, content, tmp_path)
    assert page.read_text() == fresh + added
