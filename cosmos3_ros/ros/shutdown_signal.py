# SPDX-License-Identifier: Apache-2.0
"""How a process learns that it is to end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

GRACE = 5.0  # seconds a process has to end after it was told to, before it is killed
PARENT = "COSMOS3_PARENT"  # in the environment: the id of the process whose end is to end this one
WATCH = 0.5  # seconds between two looks at it
# may come twice, from a terminal and from a launcher
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """A flag like threading.Event that signal handlers may set and the main thread waits for.

    Event.set takes a lock which the very code that the signal interrupted may hold, and then never
    returns; SimpleQueue.put may be interrupted by itself (library reference, queue.SimpleQueue).
    """

    def __init__(self) -> None:
        self._set = False
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    def on_signals(self, *others: signal.Signals) -> Stop:
        """Be set by SIGINT, SIGTERM and others from now on; returns itself.

        By one that came before, too, if who started the process held them back: see `held_back`.
        """
        for number in (*STOP_SIGNALS, *others):
            signal.signal(number, lambda *_: self.set())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return self

    def on_parent_end(self) -> Stop:
        """Be set, too, when the process that PARENT names has ended, however; returns itself.

        One that is killed cannot end the processes that it started. This one then has GRACE
        seconds, too. What may stand between the two (`ros2 launch --launch-prefix`) counts as well.
        """
        if parent := os.environ.pop(PARENT, ""):
            watch = threading.Thread(target=self._outlive, args=(int(parent),), daemon=True)
            watch.start()
        return self

    def _outlive(self, parent: int) -> None:
        own = os.getppid()  # the parent, what stands between, or who takes in orphans
        while os.getppid() == own and (own == parent or _runs(parent)):
            time.sleep(WATCH)
        self.set()
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)

    def set(self) -> None:
        """Say that it is time to end."""
        self._set = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        """Whether it was said."""
        return self._set

    def wait(self, seconds: float | None = None) -> bool:
        """Until it is said, or that long; whether it was."""
        if not self._set:
            with contextlib.suppress(queue.Empty):
                self._wakes.get(timeout=seconds)
        return self._set


def _runs(process: int) -> bool:
    """Whether it has not ended yet; one that nobody waited for (a zombie) has."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold stop signals back: here until the context ends, in processes that it starts for longer.

    They get theirs in `Stop.on_signals`, which each of them has to call: a Ctrl-C while they still
    import would print a traceback (the mask is inherited: signal(7)).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_stop_signals() -> None:
    """At the end of a main, ignore stop signals: a second Ctrl-C would look like a crash."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
