# SPDX-License-Identifier: Apache-2.0
"""The processes of a group: they end with the first one, and it hears of those that are lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cosmos3_ros.model.runtime.rank_processes import RankProcesses

ENDS_WITH_THE_FIRST = """
from cosmos3_ros.model.runtime.rank_processes import end_with_the_first
import time
end_with_the_first()
print("here", flush=True)
time.sleep(60)
"""
FIRST = f"""
import sys, time
from cosmos3_ros.model.runtime.rank_processes import RankProcesses
ranks = RankProcesses(3, [sys.executable, "-c", {ENDS_WITH_THE_FIRST!r}], print)
time.sleep(60)
"""


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def children(pid: int) -> list[int]:
    return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_process_is_told_its_rank_and_ends_in_order(tmp_path: Path) -> None:
    died: list[str] = []
    code = f"import sys; open({str(tmp_path)!r} + '/' + sys.argv[1], 'w').write(sys.argv[2])"
    ranks = RankProcesses(3, command(f"{code}; sys.stdin.read(0)"), died.append)
    folder = ranks.meeting.parent
    assert folder.is_dir()
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    ranks.close()
    assert not folder.exists()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"1": "3", "2": "3"}


def test_a_process_that_watches_for_the_first_may_end_before_it() -> None:
    code = ENDS_WITH_THE_FIRST.replace("time.sleep(60)", "")
    with subprocess.Popen(
        command(code),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as alone:
        assert alone.stderr
        assert (alone.wait(30), alone.stderr.read()) == (0, b"")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import time; time.sleep(60)", "was ended by SIGKILL"),
        ("raise SystemExit(7)", "ended with 7"),
    ],
)
def test_a_process_that_is_lost_is_said_once(code: str, words: str) -> None:
    died: list[str] = []
    ranks = RankProcesses(3, command(code), died.append)
    if "KILL" in words:
        for pid in children(os.getpid()):
            if b"time.sleep(60)" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: died)
    ranks.kill()
    assert len(died) == 1
    assert "of those that share the network" in died[0]
    assert died[0].endswith(words)


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmos3_ros.model.runtime.rank_processes.GRACE", 0.2)
    died: list[str] = []
    before = {*children(os.getpid())}
    ranks = RankProcesses(2, command("import time; time.sleep(60)"), died.append)
    (child,) = {*children(os.getpid())} - before
    ranks.close()
    assert not is_alive(child)
    assert not died


def test_when_the_first_is_killed_the_others_end() -> None:
    with subprocess.Popen(
        command(FIRST),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as first:
        assert first.stdout
        assert [first.stdout.readline() for _ in range(2)] == ["here\n"] * 2
        others = children(first.pid)
        assert len(others) == 2
        assert all(map(is_alive, others))
        first.kill()
        wait_until(lambda: not any(map(is_alive, others)))
