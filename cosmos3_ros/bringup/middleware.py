# SPDX-License-Identifier: Apache-2.0
"""The middleware's variables in the environment: what Fast DDS is told, and what cannot work."""

from __future__ import annotations

import os
import pathlib
import sys

from ..robot.robot_file import config_folder

LARGE_BUFFER = 4 << 20  # bytes: one raw image of 1280x720 and more than half of the next
# By the name of the package that brings it: Kilted's, and Jazzy's.
PROFILE_VARIABLES = {
    "fastdds": "FASTDDS_DEFAULT_PROFILES_FILE",
    "fastrtps": "FASTRTPS_DEFAULT_PROFILES_FILE",
}
LAST_DOMAIN = 232  # Fast DDS: the ports of a higher one would be above 65535
_ALLOWED = pathlib.Path("/proc/sys/net/core/rmem_max")  # bytes that a socket may buffer


def environment() -> dict[str, str]:
    """Environment of the processes: transports for images, unless there is a DDS profile.

    One of either name counts: with both the file is read twice, which fails.
    """
    if set(PROFILE_VARIABLES.values()) & os.environ.keys():
        return {}
    return {profile_variable(): str(config_folder() / dds_profile())}


def check_environment() -> None:
    """ValueError names a variable with which ROS could not start, or not as its value says."""
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain and domain not in map(str, range(LAST_DOMAIN + 1)):
        raise ValueError(
            f"ROS_DOMAIN_ID: expected a whole number from 0 to {LAST_DOMAIN}, got {domain!r}"
        )
    middleware, installed = os.environ.get("RMW_IMPLEMENTATION", ""), _middlewares()
    if middleware and installed and middleware not in installed:
        raise ValueError(
            f"RMW_IMPLEMENTATION: expected one that is installed, {' or '.join(installed)}, got "
            f"{middleware!r}"
        )
    if middleware and "fastrtps" not in middleware:
        return  # reads no profile
    for variable in PROFILE_VARIABLES.values():
        file = os.environ.get(variable, "")
        if file and not pathlib.Path(file).is_file():
            raise ValueError(f"{variable}: expected a file that exists, got {file!r}")


def require_environment() -> None:
    """End the process by one line and exit code 2 where `check_environment` finds something.

    To be called before rclpy is imported, which itself ends it for a middleware that is missing.
    """
    try:
        check_environment()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _middlewares() -> list[str]:
    """Those that are installed, by the index of packages; none if no ROS is sourced."""
    found = {
        entry.name
        for prefix in _prefixes()
        for entry in prefix.glob("share/ament_index/resource_index/rmw_typesupport/*")
    }
    return sorted(found - {"rmw_implementation"})  # which only loads one of the others


def _prefixes() -> list[pathlib.Path]:
    return [pathlib.Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(":")]


def profile_variable() -> str:
    """The variable that names a profile to the Fast DDS of this ROS 2; tools/ros_env.sh asks alike.

    Kilted's Fast DDS 3 takes the one of Jazzy's Fast DDS 2 too, with a warning in every process.
    """
    for package, variable in PROFILE_VARIABLES.items():
        if any((prefix / "share" / package).is_dir() for prefix in _prefixes()):
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
