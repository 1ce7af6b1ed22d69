# SPDX-License-Identifier: Apache-2.0
"""Half a minute of cameras, network and commander: no memory grows, no set point is lost."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.slow]

SOAK = Path(__file__).resolve().parents[2] / "bench" / "commander_tick.py"


def test_memory_stays_and_every_set_point_arrives(
    start: Any, tmp_path: Path, record_property: Any
) -> None:
    """After the first fifth.

    What growth is (8 MB) stands in the bench, which also runs for an hour.
    """
    out = tmp_path / "soak.json"
    bench = start(sys.executable, SOAK, "--seconds", "18", "--out", out)
    assert bench.process.wait(150) == 0, bench.output
    found = json.loads(out.read_text())
    assert {name for name, memory in found["memory"].items() if memory["grows"]} == set(), found[
        "over time"
    ]
    assert set(found["memory"]) == {"policy", "commander", "robot"}
    assert found["lost set points"] == 0
    assert found["chunks"] > 3
    record_property("table: a third of a minute of soak", bench.output)
