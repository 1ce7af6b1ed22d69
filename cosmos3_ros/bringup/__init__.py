# SPDX-License-Identifier: Apache-2.0
"""The node graph as a whole: what is started, by `ros2 launch` or without it, and the page that describes it."""
