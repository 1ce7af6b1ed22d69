# SPDX-License-Identifier: Apache-2.0
"""The console: a page in a browser that shows what a robot's nodes do, and its server. No ROS."""
