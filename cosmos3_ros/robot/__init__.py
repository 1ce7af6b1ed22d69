# SPDX-License-Identifier: Apache-2.0
"""Facts about a robot: its file, joints, limits, topic names, image formats.

No ROS: recordings and datasets use them too.
"""
