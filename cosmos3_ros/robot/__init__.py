# SPDX-License-Identifier: Apache-2.0
"""Facts about a robot: joints, limits, names, picture formats.

No ROS: recordings and datasets use them too.
"""
