# SPDX-License-Identifier: Apache-2.0
"""The parts of the policy node: its robot, what it has seen, how its inferences went."""
