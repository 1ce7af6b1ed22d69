# SPDX-License-Identifier: Apache-2.0
"""Nodes that are told to end before they are up begin nothing more, and say nothing."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ros

NODES = """
import os, signal, sys, time
from cosmos3_ros.ros.lifecycle import LifecycleParams, ManagedNode
from cosmos3_ros.ros.node_runner import run
from cosmos3_ros.ros.shutdown_signal import STOP_SIGNALS

class Slow(ManagedNode):
    def setup(self):
        print("setup of", self.get_name(), flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)

    def start(self):
        print("start of", self.get_name(), flush=True)

if sys.argv[1] == "before":
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    os.kill(os.getpid(), signal.SIGINT)
sys.exit(run([lambda: Slow("one", LifecycleParams), lambda: Slow("two", LifecycleParams)], []))
"""


@pytest.mark.parametrize(("when", "said"), [("before", ""), ("in setup", "setup of one\n")])
def test_nothing_begins_after_a_signal(domain: int, when: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NODES, when],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
