# SPDX-License-Identifier: Apache-2.0
# Source me: `. tools/ros_env.sh VENV` sets up a shell for a virtual environment that holds the ROS 2 wheels.
# Afterwards source install/setup.bash as in any ROS workspace.

ros_venv=$(cd "${1:?usage: . tools/ros_env.sh VENV}" && pwd)
export VIRTUAL_ENV="$ros_venv"
case ":$PATH:" in
*":$ros_venv/bin:"*) ;;
*) export PATH="$ros_venv/bin:$PATH" ;;
esac
case ":${AMENT_PREFIX_PATH:-}:" in
*":$ros_venv:"*) ;;
*)
    # ament, and CMake through it, look for packages here only.
    export AMENT_PREFIX_PATH="${AMENT_PREFIX_PATH:+$AMENT_PREFIX_PATH:}$ros_venv"
    # The wheels would set this by themselves, by starting every Python twice and in an order that changes from start to
    # start. The flag says that it is done.
    for ros_libs in "$ros_venv/lib" "$ros_venv"/lib/python3*/site-packages/ros_*.libs; do
        LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$ros_libs"
    done
    export LD_LIBRARY_PATH
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    ;;
esac
unset ros_venv ros_libs
