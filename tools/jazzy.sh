#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tools/jazzy.sh STEP...: this package in a colcon workspace of a ROS 2 Jazzy install, where images and hosted runners want
# no questions. Run in the workspace (the package lies below src/), as root. README.md has the same for people.
#
#   system   what the lists and package.xml name, by apt and rosdep
#   python   a virtual environment, which sees ROS's Python packages: PyTorch and what else Ubuntu has no such versions of
#   checks   what the tests need on top; pytest stays Ubuntu's, which ROS's plugins of it were written for
#   build    messages and nodes
#   test     all checks

set -e
: "${1:?usage: tools/jazzy.sh system|python|checks|build|test...}"
package=src/cosmos3_ros
[ -f /opt/ros/jazzy/setup.bash ] || { echo "error: no ROS 2 Jazzy in /opt/ros/jazzy" >&2; exit 1; }
. /opt/ros/jazzy/setup.bash
[ -f venv/bin/activate ] && . venv/bin/activate

do_system() {
    "$package/tools/apt_install.sh" "$package/tools/apt-jazzy.txt"
    [ -f /etc/ros/rosdep/sources.list.d/20-default.list ] || rosdep init
    apt-get update
    rosdep update --rosdistro jazzy
    rosdep install --from-paths src --ignore-src -y
}

do_python() {
    python3 -m venv --system-site-packages venv
    touch venv/COLCON_IGNORE
    . venv/bin/activate
    pip install -r "$package/tools/requirements.txt"
}

do_checks() {
    grep -v '^pytest==' "$package/tools/requirements-test.txt" | pip install -r /dev/stdin
}

do_build() {
    python -m colcon build --event-handlers console_direct+
}

do_test() {
    . install/setup.bash
    python -m colcon test --event-handlers console_direct+
    python -m colcon test-result --verbose
}

for step in "$@"; do
    case $step in
    system | python | checks | build | test) "do_$step" ;;
    *)
        echo "error: no step $step" >&2
        exit 2
        ;;
    esac
done
