# SPDX-License-Identifier: Apache-2.0
"""The command that installs a package of the sourced distribution of ROS 2."""

import os


def apt_install(package: str) -> str:
    """Say how: "apt-get install ros-jazzy-control-msgs" for "control_msgs".

    Jazzy where no distribution is sourced.
    """
    distribution = os.environ.get("ROS_DISTRO") or "jazzy"
    return f"apt-get install ros-{distribution}-{package.replace('_', '-')}"
