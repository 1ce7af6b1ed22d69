# SPDX-License-Identifier: Apache-2.0
"""A plug-in for LeRobot, found by its `--policy.discover_packages_path`; needs LeRobot."""
