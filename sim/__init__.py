# SPDX-License-Identifier: Apache-2.0
"""A MuJoCo DROID-like arm with cameras and language-conditioned tasks.

Over ROS it looks like a real robot.
"""
