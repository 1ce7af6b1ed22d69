# SPDX-License-Identifier: Apache-2.0
"""Clips with captions: folders of videos and LeRobot datasets, as windows of one size."""
