# SPDX-License-Identifier: Apache-2.0
"""Helpers over rclpy that know no node: lifecycle, parameters, topics, messages, threads."""
