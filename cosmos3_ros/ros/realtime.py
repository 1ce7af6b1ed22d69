# SPDX-License-Identifier: Apache-2.0
"""Real-time scheduling for a process whose set points must not wait for others."""

from __future__ import annotations

import contextlib
import os


def hurry(priority: int) -> None:
    """Real-time scheduling of this process, if any is wanted; ValueError if that is not allowed."""
    try:
        for thread in os.listdir("/proc/self/task") if priority else ():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as error:
        raise ValueError(
            f"parameter 'realtime_priority' is {priority}, but: {error}; expected 0, or "
            "CAP_SYS_NICE for the process, "
            "or an rtprio limit in /etc/security/limits.conf"
        ) from error
