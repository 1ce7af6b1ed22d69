# SPDX-License-Identifier: Apache-2.0
"""The other processes of a group, started and watched by the first one: what torchrun is else for.

They meet in a file of this computer and talk over its loopback. One that loses the first process
ends at once, however that ended; the first one is told when another is lost.
"""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist

GRACE = 10.0  # seconds the others have to end by themselves


class RankProcesses:
    """All processes of a group of `count` but this one, whose rank is 0.

    command: one of them, without the arguments that `meet` and `end_with_the_first` need; died:
    called once, in a thread, with words about one that ended before `close`.
    """

    def __init__(self, count: int, command: Sequence[str], died: Callable[[str], None]) -> None:
        self._died, self._lock, self._over = died, threading.Lock(), False
        self._folder = tempfile.TemporaryDirectory(prefix="cosmos3-ranks-")
        self.meeting = Path(self._folder.name) / "meeting"
        self._others = [
            subprocess.Popen(
                [*command, str(rank), str(count), str(self.meeting)],
                stdin=subprocess.PIPE,  # whose end says that this process has ended
                process_group=0,  # Ctrl-C reaches the first one, which lets the others go
            )
            for rank in range(1, count)
        ]
        for rank, process in enumerate(self._others, 1):
            threading.Thread(
                target=self._watch, args=(rank, process), name=f"rank {rank}", daemon=True
            ).start()

    def close(self) -> None:
        """Wait for the others, which have been told to end; those that do not are killed."""
        with self._lock:
            self._over = True
        for process in self._others:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin
            process.stdin.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """End the others at once: they cannot be told any more."""
        with self._lock:
            self._over = True
        for process in self._others:
            process.kill()
        self.close()

    def _watch(self, rank: int, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            news, self._over = not self._over, True
        if news:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            self._died(f"process {process.pid}, rank {rank} of those that share the network, {how}")


def meet(meeting: str | Path, rank: int, count: int, timeout: datetime.timedelta) -> None:
    """Become a process of the group; it begins when all are there. NCCL between GPUs, else gloo."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this computer
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = dist.FileStore(str(meeting), count)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=timeout)


def end_with_the_first() -> None:
    """End this process when the first one has: that holds the other end of our stdin."""

    def wait() -> None:
        while os.read(0, 1):  # without a buffer, whose lock the interpreter's end would wait for
            pass
        os._exit(1)  # a collective operation may hold the main thread for ever

    threading.Thread(target=wait, name="first process", daemon=True).start()
