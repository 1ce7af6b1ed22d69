# SPDX-License-Identifier: Apache-2.0
"""The node graph: which processes start, by `ros2 launch` or without it, and its page in docs."""
