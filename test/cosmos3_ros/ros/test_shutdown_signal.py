# SPDX-License-Identifier: Apache-2.0
"""A process ends when it is told to, wherever the signal finds it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cosmos3_ros.ros.shutdown_signal import PARENT, STOP_SIGNALS, Stop, held_back

INTERRUPTED_EVERYWHERE = """
import signal
from cosmos3_ros.ros.shutdown_signal import Stop

stops = [Stop()]
signal.signal(signal.SIGALRM, lambda *_: stops[0].set())
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)  # in the middle of wait and set
for _ in range(3000):
    stops[0] = Stop()
    while not stops[0].wait(0.0):
        pass
signal.setitimer(signal.ITIMER_REAL, 0)
"""

STARTED = """
from cosmos3_ros.ros.shutdown_signal import WATCH, Stop

stop = Stop().on_parent_end()
print(stop.wait(3 * WATCH), flush=True)
print(stop.wait())
"""
STARTING = """
import os, subprocess, sys, time
from cosmos3_ros.ros.shutdown_signal import PARENT

subprocess.Popen(sys.argv[1:], env={**os.environ, PARENT: str(os.getpid())})
time.sleep(60)
"""

IMPORTING = """
import sys, time

print("up", flush=True)
time.sleep(0.5)  # as long imports
from cosmos3_ros.ros.shutdown_signal import Stop

print(Stop().on_signals().is_set(), flush=True)
"""


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_during_the_imports_is_heard_after_them(number: signal.Signals) -> None:
    with held_back():
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= {*STOP_SIGNALS}
        importing = subprocess.Popen(
            [sys.executable, "-c", IMPORTING],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {*STOP_SIGNALS}
    with importing:
        assert importing.stdout is not None
        assert importing.stdout.readline() == "up\n"
        importing.send_signal(number)
        assert importing.stdout.read() == "True\n"
    assert importing.returncode == 0


@pytest.mark.parametrize("between", [[], ["timeout", "60"]])
def test_the_end_of_who_started_a_process_ends_it(between: list[str]) -> None:
    """However it ended, and also where a program stands between the two, but not before."""
    words = [sys.executable, "-c", STARTING, *between, sys.executable, "-c", STARTED]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as starting:
        assert starting.stdout is not None
        assert starting.stdout.readline() == "False\n"
        starting.kill()
        starting.wait()
        begin = time.monotonic()
        assert starting.stdout.read() == "True\n"  # to the end of both
        assert time.monotonic() - begin < 4


@pytest.mark.parametrize("waited_for", [True, False])
def test_who_started_a_process_may_have_ended_before_that_looks(waited_for: bool) -> None:
    gone = subprocess.Popen(["sleep", "0"])
    time.sleep(0.5)
    if waited_for:
        gone.wait()
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**os.environ, PARENT: str(gone.pid)},
        stdout=subprocess.PIPE,
        timeout=20,
        check=True,
    )
    assert done.stdout == b"True\nTrue\n"
    gone.wait()


def test_a_signal_may_come_at_any_moment_of_a_wait() -> None:
    """With threading.Event in the place of Stop a handler would wait for itself."""
    subprocess.run([sys.executable, "-c", INTERRUPTED_EVERYWHERE], timeout=60, check=True)


def test_waiting_lasts_until_it_is_said_or_as_long_as_asked() -> None:
    stop = Stop()
    begin = time.monotonic()
    assert not stop.wait(0.05)
    assert time.monotonic() - begin >= 0.05
    assert not stop.is_set()
    stop.set()
    assert stop.is_set()
    assert stop.wait()
    assert stop.wait(), "once said it stays said"
