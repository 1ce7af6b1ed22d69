# SPDX-License-Identifier: Apache-2.0
"""Servers for those who run their own evaluation: openpi clients, RoboLab, LIBERO, OpenAI clients.

No ROS.
"""
