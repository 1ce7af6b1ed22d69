# SPDX-License-Identifier: Apache-2.0
# `. tools/ros_env.sh VENV` in bash or zsh sets up this terminal for the environment that tools/setup_env.py made and what
# is built in it: `cosmos3` is a command then, in every folder. Returns 1 if it cannot.

if [ -z "${1:-}" ] || [ ! -x "$1/bin/python3" ]; then
    case "${1:-}" in
    "") echo "error: no environment named; expected . tools/ros_env.sh VENV" >&2 ;;
    /*) echo "error: no environment $1; expected the one that make build made" >&2 ;;
    *) echo "error: no environment $1 in $PWD; expected the one that make build made" >&2 ;;
    esac
    return 1
fi
ros_venv=$(cd "$1" >/dev/null && pwd)
case ":${AMENT_PREFIX_PATH:-}:" in
*":$ros_venv:"*) ;;
::)
    # ament, and CMake through it, look for packages here only.
    export AMENT_PREFIX_PATH="$ros_venv"
    # The wheels would set this by themselves, by starting every Python twice and in an order that changes from start to
    # start. The flag says that it is done.
    for ros_libs in "$ros_venv/lib" "$ros_venv"/lib/python3*/site-packages/ros_*.libs; do
        LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$ros_libs"
    done
    export LD_LIBRARY_PATH
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    unset ros_libs
    ;;
*)
    # Two sets of ROS libraries in one process do not work.
    echo "error: this terminal has another ROS set up, $AMENT_PREFIX_PATH; expected one without" >&2
    unset ros_venv
    return 1
    ;;
esac
export VIRTUAL_ENV="$ros_venv"
case ":$PATH:" in
*":$ros_venv/bin:"*) ;;
*) export PATH="$ros_venv/bin:$PATH" ;;
esac
unset ros_venv
ros_shell=${ZSH_VERSION:+zsh}
if [ -f "$VIRTUAL_ENV/ws/install/setup.${ros_shell:=bash}" ]; then
    . "$VIRTUAL_ENV/ws/install/setup.$ros_shell"
fi
unset ros_shell
# as bringup.middleware.environment: a profile of either name counts, the variable is that of the distribution
if [ -z "${FASTDDS_DEFAULT_PROFILES_FILE+set}${FASTRTPS_DEFAULT_PROFILES_FILE+set}" ]; then
    ros_profile=fastdds.xml
    if [ "$(cat /proc/sys/net/core/rmem_max 2>/dev/null || echo 0)" -ge 4194304 ]; then ros_profile=fastdds_udp.xml; fi
    ros_profile=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/../config" >/dev/null && pwd)/$ros_profile
    if [ -d "$VIRTUAL_ENV/share/fastdds" ]; then
        export FASTDDS_DEFAULT_PROFILES_FILE="$ros_profile"
    else
        export FASTRTPS_DEFAULT_PROFILES_FILE="$ros_profile"
    fi
    unset ros_profile
fi
