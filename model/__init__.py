# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3 in PyTorch: two towers, one cache, every size.

No ROS; `interface` and `embodiment` need numpy only.
"""
