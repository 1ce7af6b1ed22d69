# SPDX-License-Identifier: Apache-2.0
"""What to install on the distribution of ROS 2 that is sourced."""

from cosmos3_ros.ros.apt_packages import apt_install


def test_packages_of_the_sourced_distribution(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert apt_install("control_msgs") == "apt-get install ros-kilted-control-msgs"
    monkeypatch.delenv("ROS_DISTRO")
    assert apt_install("control_msgs") == "apt-get install ros-jazzy-control-msgs"
