#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/run.sh VENV COMMAND...: run the command in the environment that tools/setup_env.py made. A ROS installation that
# the calling shell has sourced is left out: two sets of ROS libraries in one process do not work.

set -e
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:?usage: tools/run.sh VENV COMMAND...}
shift
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PYTHONHOME ROS_DISTRO
. "$tools/ros_env.sh" "$venv"
if [ -f "$VIRTUAL_ENV/ws/install/setup.bash" ]; then
    . "$VIRTUAL_ENV/ws/install/setup.bash"
fi
# as bringup.middleware.environment: a profile of either name counts, the variable is that of the distribution
if [ -z "${FASTDDS_DEFAULT_PROFILES_FILE+set}${FASTRTPS_DEFAULT_PROFILES_FILE+set}" ]; then
    profile=fastdds.xml
    if [ "$(cat /proc/sys/net/core/rmem_max 2>/dev/null || echo 0)" -ge 4194304 ]; then profile=fastdds_udp.xml; fi
    variable=FASTRTPS_DEFAULT_PROFILES_FILE
    if [ -d "$VIRTUAL_ENV/share/fastdds" ]; then variable=FASTDDS_DEFAULT_PROFILES_FILE; fi
    export "$variable=$tools/../config/$profile"
fi
exec "$@"
