#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/run.sh VENV COMMAND...: run the command in the environment that tools/setup_env.py made. A ROS installation that
# the calling shell has sourced is left out: two sets of ROS libraries in one process do not work.

set -e
if [ $# -lt 2 ]; then
    echo "error: no command to run; expected $0 VENV COMMAND..." >&2
    exit 2
fi
unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH PYTHONHOME ROS_DISTRO
. "$(dirname "${BASH_SOURCE[0]}")/ros_env.sh" "$1"
shift
exec "$@"
