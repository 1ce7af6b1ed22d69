# SPDX-License-Identifier: Apache-2.0
"""Where set points go: the controllers of arm and gripper."""
