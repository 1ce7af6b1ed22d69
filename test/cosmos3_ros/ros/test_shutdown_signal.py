# SPDX-License-Identifier: Apache-2.0
"""A process ends when it is told to, wherever the signal finds it."""

import subprocess
import sys
import time

from cosmos3_ros.ros.shutdown_signal import Stop

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
