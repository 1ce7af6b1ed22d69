# SPDX-License-Identifier: Apache-2.0
"""What Fast DDS is told about images, in the environment of every process of a graph."""

from __future__ import annotations

import os
import pathlib

from ..robot.robot_file import config_folder

LARGE_BUFFER = 4 << 20  # bytes: one raw image of 1280x720 and more than half of the next
_ALLOWED = pathlib.Path("/proc/sys/net/core/rmem_max")  # bytes that a socket may buffer


def environment() -> dict[str, str]:
    """Environment of the processes: transports for images, unless there is a DDS profile.

    Both distributions know the first name. Kilted's own is the second: with both the file is read
    twice, which fails.
    """
    name, of_kilted = "FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"
    if {name, of_kilted} & os.environ.keys():
        return {}
    return {name: str(config_folder() / dds_profile())}


def dds_profile(allowed: pathlib.Path = _ALLOWED) -> str:
    """The file of config/ with the transports for images; tools/run.sh chooses alike.

    allowed: the file in which the kernel says how much a socket may buffer. If that is a lot,
    images are asked for by UDP, which loses least whoever sends them; otherwise shared memory is
    better, as far as the sender has this profile too.
    """
    try:
        most = int(allowed.read_text())
    except (OSError, ValueError):  # no Linux
        return "fastdds.xml"
    return "fastdds_udp.xml" if most >= LARGE_BUFFER else "fastdds.xml"
