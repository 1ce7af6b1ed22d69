# SPDX-License-Identifier: Apache-2.0
"""Jobs in processes of their own, and what Ctrl-C does to them."""

import os
import signal
import subprocess
import sys
import time

from cosmos3_ros.training.data.parallel import in_parallel

SCRIPT = """
import signal
import time
from cosmos3_ros.training.data.parallel import in_parallel
def never_interrupted(seconds):
    time.sleep(seconds)
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever has started the tests
    try:
        for told in in_parallel(never_interrupted, [0.01, 600.0, 600.0], 2):
            print(told, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_jobs_are_done_by_as_many_processes_as_asked_for():
    assert sorted(in_parallel(abs, [-2, -1, 3], 2)) == [1, 2, 3]
    assert list(in_parallel(abs, [-2, -1], 1)) == [2, 1]
    assert not list(in_parallel(abs, []))


def test_ctrl_c_ends_all_and_only_the_asking_process_speaks(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    began = time.monotonic()
    said, errors = process.communicate(timeout=60)
    assert (said, errors, process.returncode) == ("interrupted\n", "", 0)
    assert time.monotonic() - began < 30
