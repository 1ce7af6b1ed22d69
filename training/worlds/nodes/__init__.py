# SPDX-License-Identifier: Apache-2.0
"""A world through the ROS nodes: its own node, and the examination of a checkpoint on it."""
