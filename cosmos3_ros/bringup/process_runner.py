# SPDX-License-Identifier: Apache-2.0
"""Starts the node graph without the ROS command line, watches it, and ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import IO

from ..ros.shutdown_signal import GRACE, PARENT, Stop, held_back
from .middleware import environment
from .node_graph import MODULES, Process


class RunningGraph:
    """The running processes of a graph; a context manager that leaves none of them behind.

    Where this process is killed, they notice by themselves.
    """

    def __init__(self, processes: Sequence[Process], output: IO[str] | None = None) -> None:
        self._processes, self._output = processes, output
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._interrupting: list[signal.Signals] = []

    def __enter__(self) -> RunningGraph:
        self._interrupting = [
            n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL
        ]
        for number in self._interrupting:
            # as Ctrl-C does, instead of leaving the others behind
            signal.signal(number, signal.default_int_handler)
        try:
            for process in self._processes:
                self._start(process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def pids(self) -> dict[str, int]:
        """Process ids by executable."""
        return {name: popen.pid for name, popen in self._running.items()}

    def ended(self) -> dict[str, int]:
        """Exit codes of the processes that are no longer running."""
        return {
            name: code
            for name, popen in self._running.items()
            if (code := popen.poll()) is not None
        }

    def essential_ended(self) -> dict[str, int]:
        """Those of `ended` without which the others are not to go on; of the last one: itself."""
        ended = self.ended()
        essential = {process.executable for process in self._processes if process.essential}
        missing = {name: code for name, code in ended.items() if name in essential}
        return missing or (ended if len(ended) == len(self._running) else {})

    def stop(self) -> None:
        """End all processes, the commander first, so that the arm is held while the rest ends.

        Interrupted, by a second Ctrl-C, it kills what is left.
        """
        try:
            for name in sorted(self._running, key=lambda name: name != "commander"):
                popen = self._running[name]
                popen.send_signal(signal.SIGINT)
                if name == "commander":
                    _wait(popen)
            for popen in self._running.values():
                _wait(popen)
        finally:
            for popen in self._running.values():
                popen.kill()  # nothing happens to one that has ended
                popen.wait()
            for number in self._interrupting:
                signal.signal(number, signal.SIG_DFL)

    def _start(self, process: Process) -> None:
        for line in process.replaced:
            print(line, file=self._output, flush=True)
        # what the console prints is for a person, wherever the others' logs go
        output = self._output if process.essential else None
        command = [sys.executable, "-m", *MODULES[process.executable], *process.arguments()]
        # a group of its own: Ctrl-C in a terminal reaches only us, and we end the others in order
        with held_back():
            self._running[process.executable] = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                text=True,
                process_group=0,
                env={**os.environ, **environment(), PARENT: str(os.getpid())},
            )


def _wait(popen: subprocess.Popen[str]) -> None:
    try:
        popen.wait(GRACE)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def run(processes: Sequence[Process]) -> int:
    """Run the graph until Ctrl-C (exit code 0) or the end of a process (its code, at least 1)."""
    stopped = Stop().on_signals(signal.SIGHUP)
    told: set[str] = set()
    with RunningGraph(processes) as graph:
        while not stopped.wait(0.1):
            if ended := graph.essential_ended():
                names = ", ".join(f"{name} (exit code {code})" for name, code in ended.items())
                print(f"error: {names} ended; ending the others", file=sys.stderr)
                return max(1, *(abs(code) for code in ended.values()))
            for name, code in graph.ended().items():
                if name not in told:
                    print(f"warning: {name} ended (exit code {code})", file=sys.stderr)
                    told.add(name)
    return 0
