# SPDX-License-Identifier: Apache-2.0
"""What Fast DDS is told about images, in the environment of every process of a graph."""

from __future__ import annotations

import os
import pathlib

from ..robot.robot_file import config_folder

LARGE_BUFFER = 4 << 20  # bytes: one raw image of 1280x720 and more than half of the next
# By the name of the package that brings it: Kilted's, and Jazzy's.
PROFILE_VARIABLES = {
    "fastdds": "FASTDDS_DEFAULT_PROFILES_FILE",
    "fastrtps": "FASTRTPS_DEFAULT_PROFILES_FILE",
}
_ALLOWED = pathlib.Path("/proc/sys/net/core/rmem_max")  # bytes that a socket may buffer


def environment() -> dict[str, str]:
    """Environment of the processes: transports for images, unless there is a DDS profile.

    One of either name counts: with both the file is read twice, which fails.
    """
    if set(PROFILE_VARIABLES.values()) & os.environ.keys():
        return {}
    return {profile_variable(): str(config_folder() / dds_profile())}


def profile_variable() -> str:
    """The variable that names a profile to the Fast DDS of this ROS 2; tools/ros_env.sh asks alike.

    Kilted's Fast DDS 3 takes the one of Jazzy's Fast DDS 2 too, with a warning in every process.
    """
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(":")
    for package, variable in PROFILE_VARIABLES.items():
        if any((pathlib.Path(prefix) / "share" / package).is_dir() for prefix in prefixes):
            return variable
    return PROFILE_VARIABLES["fastrtps"]


def dds_profile(allowed: pathlib.Path = _ALLOWED) -> str:
    """The file of config/ with the transports for images; tools/ros_env.sh chooses alike.

    allowed: the file in which the kernel says how much a socket may buffer. If that is a lot,
    images are asked for by UDP, which loses least whoever sends them; otherwise shared memory is
    better, as far as the sender has this profile too.
    """
    try:
        most = int(allowed.read_text())
    except (OSError, ValueError):  # no Linux
        return "fastdds.xml"
    return "fastdds_udp.xml" if most >= LARGE_BUFFER else "fastdds.xml"
