# SPDX-License-Identifier: Apache-2.0
"""What is said of episodes: in one line, that the machine was too slow or busy."""

from typing import Any

import pytest

pytestmark = pytest.mark.ros


def episode(**more: Any) -> Any:
    from cosmos3_ros.apps.episode_report import Episode

    words = {
        "task": "lift",
        "seed": 0,
        "instruction": "pick it up",
        "success": False,
        "seconds": 12.0,
        "chunks": 7,
        "latencies": [1.373] * 7,
        "command_rate": 50.0,
        "real_time_factor": 0.9,
        "late": 7,
        "chunk_seconds": 16 / 15,
        "waits": False,
        "rejected": 7,
        "limited": 0,
    }
    return Episode(**(words | more))


def test_chunks_that_come_too_late_are_said_with_what_to_do() -> None:
    from cosmos3_ros.apps.episode_report import too_late

    line = too_late(episode())
    assert line.startswith(
        "7 of 7 chunks came too late (p50 1373 ms, one lasts 1067 ms): this machine is too slow or "
        "busy (load "
    )
    assert "--strategy sync" in line
    assert "STRATEGY=sync" in line
    assert "\n" not in line
    none = too_late(episode(chunks=0, latencies=[], late=0))
    assert none.startswith("no chunk came in 12 s: this machine is too slow or busy")
    waits = too_late(episode(waits=True))
    assert waits.startswith("7 of 7 chunks took longer than they last (p50 1373 ms): this machine")
    assert waits.endswith("end what else runs on it, or give it more time: --time-limit")


@pytest.mark.parametrize("more", [{"success": True}, {"late": 3}, {"late": 0}], ids=str)
def test_an_episode_that_failed_for_another_reason_says_nothing_of_it(more: dict[str, Any]) -> None:
    from cosmos3_ros.apps.episode_report import too_late

    assert too_late(episode(**more)) == ""


def test_a_machine_that_others_use_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos3_ros.apps import episode_report

    monkeypatch.setattr(episode_report.os, "cpu_count", lambda: 2)
    for load, says in ((1.9, False), (2.9, False), (10.0, True)):
        monkeypatch.setattr(episode_report.os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert bool(episode_report.busy()) == says
    assert "load 10.0 on 2 cores): chunks may come too late;" in episode_report.busy()
    assert "chunks may come too late;" in episode_report.busy("replace")
    assert "the arm may wait long for its chunks;" in episode_report.busy("sync")


def test_without_a_chunk_the_table_and_the_summary_are_made_all_the_same() -> None:
    from cosmos3_ros.apps.episode_report import summarize, table
    from cosmos3_ros.bringup.graph_options import Options

    done = [episode(chunks=0, latencies=[], late=0), episode(success=True)]
    assert "1/2" in table(done).splitlines()[-1]
    assert summarize(done, Options(), 10, 3.0)["success"] == 1
    (row,) = table(done[:1]).splitlines()[1:2]
    assert "nan" not in row
