#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What docker/jazzy.Dockerfile starts: the command, in the workspace's environment.

set -e
. /opt/ros/jazzy/setup.bash
. /ws/venv/bin/activate
. /ws/install/setup.bash
export FASTRTPS_DEFAULT_PROFILES_FILE=${FASTRTPS_DEFAULT_PROFILES_FILE-/ws/src/cosmos3_ros/config/fastdds.xml}
exec "$@"
